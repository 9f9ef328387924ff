"""Asking the log for its time, and the report of a host whose clock differs from it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.port import EventLog, LogUnavailable
from headgate.runtime.clock import now_ms
from headgate.runtime.log_clock import LogClock, LogTimeUnknown
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry import clock_watch
from headgate.telemetry.clock_watch import SKEW, ClockWatch
from headgate.telemetry.topic import TelemetryWriter
from tests.metrics.exposed import parsed, text_of
from tests.waiting import until
from tests.worker.outages import FailingLog


class Host:
    """A process on a host whose wall clock is ahead of the log's time."""

    def __init__(self, log: EventLog) -> None:
        self.ahead_ms = 0
        self.clock = LogClock()
        self.metrics = Metrics("deployer")
        writer = TelemetryWriter(log, "deployer-0")
        self.watch = ClockWatch(self.clock, writer, self.metrics, lambda: now_ms() + self.ahead_ms)

    def skew(self) -> float | None:
        return parsed(text_of(self.metrics)).value(SKEW)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FailingLog]:
    log = FailingLog(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


@pytest.mark.parametrize("ahead_ms", [-86_400_000, -600_000, 0, 6_000, 86_400_000])
def test_the_hosts_clock_does_not_change_the_time_that_a_service_works_with(log: FailingLog, ahead_ms: int) -> None:
    host = Host(log)
    host.ahead_ms = ahead_ms
    host.watch.probe()
    assert host.clock.now_ms() == pytest.approx(now_ms(), abs=1_000)
    assert host.skew() == pytest.approx(ahead_ms / 1000, abs=1)


def test_a_clock_that_is_off_is_named_once_in_words_and_so_is_its_return(
    log: FailingLog, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(log)
    with caplog.at_level(logging.INFO, clock_watch.logger.name):
        for host.ahead_ms in (0, 6_000, 6_000, 600_000, 0):
            host.watch.probe()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "the clock of this host is 6.0 s ahead of the log's time; no decision uses it, but set it right",
        "the clock of this host agrees with the log's time again",
    ]


def test_without_the_logs_time_there_is_no_skew_to_show(log: FailingLog) -> None:
    assert Host(log).skew() is None


def test_the_reason_why_the_time_is_unknown_is_the_error_of_the_log(log: FailingLog) -> None:
    host = Host(log)
    log.outages = 1
    with pytest.raises(LogUnavailable, match="cannot be asked for"):
        host.watch.probe()
    with pytest.raises(LogTimeUnknown, match="no broker answers"):
        host.clock.now_ms()
    host.watch.probe()
    assert host.clock.is_known()


def test_a_worker_waits_at_its_start_until_the_log_takes_a_record(
    log: FailingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_watch, "RETRY_SECONDS", 0.001)
    host = Host(log)
    log.outages = 3
    host.watch.await_time()
    assert host.clock.is_known()
    log.outages = 1_000_000
    with pytest.raises(LogUnavailable):
        Host(log).watch.await_time(timeout_seconds=0)


def test_the_thread_asks_again_and_survives_an_outage(log: FailingLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_watch, "PROBE_SECONDS", 0.001)
    host = Host(log)
    log.outages = 1
    host.watch.start()
    until(host.clock.is_known, "the log's time")
    written = log.end(topics.TELEMETRY)
    until(lambda: log.end(topics.TELEMETRY) != written, "another question")
    assert host.watch.is_alive()
    host.watch.stop_soon()
