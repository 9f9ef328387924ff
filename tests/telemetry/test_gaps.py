"""A reader of telemetry that could not read for a time reports the gap: it does not know who was silent in it."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.port import LogUnavailable, Record
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry import topic
from headgate.telemetry.topic import TelemetryReader
from tests.waiting import PATIENCE_SECONDS, until


class LogWithOutages(SqliteLog):
    is_away = False

    def read_once(self, poll, timeout_seconds: float) -> Sequence[Record]:  # type: ignore[no-untyped-def]
        if self.is_away:
            raise LogUnavailable("no broker answers")
        return poll(timeout_seconds)

    def tail(self, topic, start):  # type: ignore[no-untyped-def]
        tail = super().tail(topic, start)
        poll = tail.poll
        tail.poll = lambda timeout_seconds: self.read_once(poll, timeout_seconds)
        return tail


def test_an_outage_of_the_log_is_one_gap_from_the_last_time_that_the_reader_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic, "POLL_SECONDS", 0.01)
    log = LogWithOutages(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    metrics, gaps = Metrics("trainer"), list[float]()
    reader = TelemetryReader(log, lambda record, at_ms: None, metrics, on_gap=gaps.append)
    reader.start(since_ms=0)
    assert reader.wait_caught_up(PATIENCE_SECONDS)
    assert gaps == []
    monkeypatch.setattr(topic, "GAP_SECONDS", 0.3)  # less than the pause after an error
    log.is_away = True
    until(lambda: reader._lost._value.get() > 0, "the outage is noticed")
    log.is_away = False
    (since,) = until(lambda: list(gaps), "the gap")
    assert since < time.monotonic() - 0.3
    reader.close()
    log.close()
