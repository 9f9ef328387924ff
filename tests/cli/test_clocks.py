"""What the command line finds out about clocks: from the log, and from the registry."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.cli.clocks import log_time_ms, skews, wrong_clocks
from headgate.client.log_time import LogTime
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog, Message, Record
from headgate.runtime.clock import now_ms
from headgate.telemetry.clock_watch import CLOCK_KEY
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import telemetry_pb2 as telemetry

LOG_MS = 1_700_000_000_000


def probe(source: str, at_ms: int, boot_id: str = "boot") -> bytes:
    asked = telemetry.TelemetryRecord(source=source, boot_id=boot_id, sequence=1, at_ms=at_ms)
    asked.clock_probe.SetInParent()
    return asked.SerializeToString()


def record(value: bytes, timestamp_ms: int = LOG_MS) -> Record:
    return Record(topics.TELEMETRY, 0, 0, timestamp_ms, CLOCK_KEY.encode(), value, ())


@pytest.fixture
def log(tmp_path: Path) -> Any:
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


def ask(log: EventLog, source: str, ahead_ms: int = 0) -> None:
    log.append(Message(topics.TELEMETRY, CLOCK_KEY.encode(), probe(source, now_ms() + ahead_ms)))


def test_a_skew_is_the_time_that_a_service_noted_less_the_time_that_the_log_gave() -> None:
    found = skews([record(probe("deployer-0", LOG_MS + 6_000)), record(probe("gateway-0", LOG_MS - 600_000))])
    assert found == {"deployer-0": 6.0, "gateway-0": -600.0}


def test_a_record_that_took_long_to_reach_the_log_does_not_make_a_clock_look_behind() -> None:
    records = [record(probe("deployer-0", LOG_MS - delay_ms)) for delay_ms in (9_000, 3, 7_000)]
    assert skews(records) == {"deployer-0": -0.003}


def test_after_a_restart_only_the_records_of_the_new_process_count() -> None:
    records = [record(probe("deployer-0", LOG_MS + 6_000)), record(probe("deployer-0", LOG_MS, boot_id="next"))]
    assert skews(records) == {"deployer-0": 0.0}


def test_records_that_ask_for_no_time_are_left_out() -> None:
    status = telemetry.TelemetryRecord(source="gateway-0", gateway_status=telemetry.GatewayStatus())
    assert skews([record(b"\xff"), record(status.SerializeToString())]) == {}


def test_a_wrong_clock_is_a_sentence_and_the_others_are_counted(log: EventLog) -> None:
    assert wrong_clocks(log) == ([], 0)
    for source, ahead_ms in (("gateway-0", 0), ("deployer-0", 6_030), ("trainer-0", -600_020)):
        ask(log, source, ahead_ms)
    assert wrong_clocks(log) == (
        [
            "the clock of the host of deployer-0 is 6.0 s ahead of the log's time",
            "the clock of the host of trainer-0 is 600.0 s behind the log's time",
        ],
        3,
    )


def test_the_logs_time_is_that_of_the_newest_record_that_asked_for_it(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(log, "gateway-0")
    monkeypatch.setattr("headgate.cli.clocks.now_ms", lambda: 0)
    assert log_time_ms(log) == pytest.approx(now_ms(), abs=5_000)


def test_the_registry_is_asked_once_and_its_time_goes_on() -> None:
    asked: list[float] = []

    def answer(request: object, timeout: float) -> registry_service.LogTime:
        asked.append(timeout)
        return registry_service.LogTime(time_ms=LOG_MS)

    time = LogTime(answer)
    first_ms = time.now_ms()
    assert LOG_MS - 10 <= first_ms <= time.shown_ms() < LOG_MS + 60_000
    assert len(asked) == 1


def test_without_the_registrys_answer_what_is_shown_follows_the_own_clock_and_what_is_sent_fails() -> None:
    def fail(request: object, timeout: float) -> registry_service.LogTime:
        raise grpc.RpcError

    time = LogTime(fail)
    assert time.shown_ms() == pytest.approx(now_ms(), abs=5_000)
    with pytest.raises(grpc.RpcError):
        time.now_ms()
