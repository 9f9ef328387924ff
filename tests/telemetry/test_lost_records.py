"""A reader of telemetry whose topic was cut off or made again."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.port import Record, RecordsLost
from headgate.log.sqlite.log import SqliteLog
from headgate.log.sqlite.tail import SqliteTail
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.topic import TelemetryReader, TelemetryWriter
from headgate.v1 import telemetry_pb2 as telemetry
from tests.waiting import PATIENCE_SECONDS, until

BEAT = telemetry.WorkHeartbeat(stream="models/fraud", version=1, attempt=1, work="training")


class StrictTail:
    """Refuses to read after the end of a partition, as Kafka does."""

    def __init__(self, tail: SqliteTail, ends: Callable[[], Mapping[int, int]]) -> None:
        self._tail, self._ends = tail, ends

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        for partition, end in self._ends().items():
            if self._tail._next.get(partition, 0) > end:
                raise RecordsLost(f"partition {partition} ends at {end}")
        return self._tail.poll(min(timeout_seconds, 0.01))

    def __getattr__(self, name: str) -> object:
        return getattr(self._tail, name)

    def __enter__(self) -> "StrictTail":
        return self

    def __exit__(self, *exc: object) -> None:
        self._tail.close()


class StrictLog(SqliteLog):
    def tail(self, topic: str, start: Mapping[int, int]) -> StrictTail:  # type: ignore[override]
        return StrictTail(super().tail(topic, start), lambda: self.end(topic))


def test_a_reader_goes_on_from_the_first_record_that_exists_when_its_topic_was_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = StrictLog(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    writer, read = TelemetryWriter(log, "trainer-0"), list[int]()
    reader = TelemetryReader(log, lambda record, at_ms: read.append(record.sequence), Metrics("trainer"))
    for _ in range(3):
        writer.send("one key", work_heartbeat=BEAT)
    reader.start(since_ms=0)
    assert reader.wait_caught_up(PATIENCE_SECONDS)
    until(lambda: read == [1, 2, 3])
    with sqlite3.connect(tmp_path / "log.db") as database:
        database.execute("DELETE FROM log")
    database.close()
    writer.send("one key", work_heartbeat=BEAT)
    until(lambda: read == [1, 2, 3, 4])
    assert "telemetry was lost; reading on from the first record that exists" in caplog.text
    assert sum(reader.positions().values()) == 1
    reader.close()
    log.close()
