"""Writes and reads headgate.telemetry: heartbeats, epochs, gateway status and evidence."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from headgate.dead_letters.burials import Burials
from headgate.log import topics
from headgate.log.port import EventLog, Message, Position, Record
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.retrying import RetryingThread
from headgate.telemetry.rules import flaw_of
from headgate.v1 import telemetry_pb2 as telemetry

POLL_SECONDS = 0.5
GAP_SECONDS = 3.0
"""A reader that has not read for longer than this missed records. It does not know then who was silent."""

logger = logging.getLogger(__name__)
Handle = Callable[[telemetry.TelemetryRecord, int], None]


class TelemetryWriter:
    """Writes the telemetry of one process. Records are numbered, so a reader can drop duplicates."""

    def __init__(self, log: EventLog, source: str) -> None:
        self.boot_id = uuid.uuid4().hex
        self._log = log
        self._source = source
        self._sequence = 0
        self._lock = threading.Lock()

    def send(self, key: str, **measurement: Any) -> Position:
        """Appends one measurement, for example `epoch_measured=...`, under the key of its stream. Raises LogError."""
        with self._lock:
            self._sequence += 1
            sequence = self._sequence
        record = telemetry.TelemetryRecord(
            source=self._source, boot_id=self.boot_id, sequence=sequence, at_ms=now_ms(), **measurement
        )
        return self._log.append(Message(topics.TELEMETRY, key.encode(), record.SerializeToString()))


class TelemetryReader:
    """Reads all telemetry records since a time on its own thread, and calls `handle` for each.

    It skips a record that cannot be used. The reader of the topic's owner has `burials` and also buries this record.
    `on_gap` is called when reading goes on after more than GAP_SECONDS, because the log was away or the process stood
    still. Its argument is the time of the monotonic clock at which the gap began.
    """

    def __init__(
        self,
        log: EventLog,
        handle: Handle,
        metrics: Metrics,
        burials: Burials | None = None,
        on_gap: Callable[[float], None] = lambda since: None,
    ) -> None:
        self._log = log
        self._lost = metrics.counter("headgate_log_errors_total").labels()
        self._handle = handle
        self._burials = burials
        self._on_gap = on_gap
        self._read_at: float | None = None
        self._since_ms = 0
        self._positions: dict[int, int] = {}
        self._targets: dict[int, int] | None = None
        self._caught_up = threading.Event()
        self._thread = RetryingThread("telemetry", self._tail, self._failed)

    def start(self, since_ms: int) -> None:
        """Starts to read at the first record of this time or later."""
        self._since_ms = since_ms
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def positions(self) -> dict[int, int]:
        """Per partition, the next offset to read; empty before the start."""
        return dict(self._positions)

    def wait_caught_up(self, timeout_seconds: float) -> bool:
        """Waits until all records that were in the topic at the start are handled. Returns whether they are."""
        return self._caught_up.wait(timeout_seconds)

    def stop_soon(self) -> None:
        """Stops reading, without waiting for the thread."""
        self._thread.stop_soon()

    def close(self) -> None:
        """Stops the thread after its current poll."""
        self._thread.stop(5 * POLL_SECONDS)

    def _failed(self, error: Exception) -> None:
        logger.warning("telemetry cannot be read; trying again", extra={"error": str(error)})
        self._lost.inc()

    def _tail(self) -> None:
        first = self._log.offsets_at(topics.TELEMETRY, self._since_ms)
        ends = self._log.end(topics.TELEMETRY)
        self._targets = self._targets or dict(ends)
        self._forget_lost(first, ends)
        start = {**first, **self._positions}
        self._positions = dict(start)
        with self._log.tail(topics.TELEMETRY, start) as tail:
            self._thread.on_stop(tail.stop_waiting)
            while not self._thread.is_stopping:
                self._note_progress(self._targets)
                records = tail.poll(POLL_SECONDS)
                self._note_gap(time.monotonic())
                for record in records:
                    self._read(record)
                    self._positions[record.partition] = record.offset + 1

    def _forget_lost(self, first: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Goes back to the first record of a partition that was cut off or made again: its old offsets mean nothing."""
        for partition, end in ends.items():
            reached = self._positions.get(partition, 0)
            if reached <= end:
                continue
            where = {"topic": topics.TELEMETRY, "partition": partition, "offset": reached, "end": end}
            logger.warning("telemetry was lost; reading on from the first record that exists", extra=where)
            self._positions[partition] = first[partition]
            self._targets = {**(self._targets or {}), partition: end}

    def _note_gap(self, now: float) -> None:
        before, self._read_at = self._read_at, now
        if before is not None and now - before > GAP_SECONDS:
            self._on_gap(before)

    def _note_progress(self, targets: dict[int, int]) -> None:
        if all(self._positions.get(partition, 0) >= end for partition, end in targets.items()):
            self._caught_up.set()

    def _read(self, record: Record) -> None:
        try:
            parsed = telemetry.TelemetryRecord.FromString(record.value or b"")
        except DecodeError:
            return self._skip(record, "malformed-telemetry", "the value is not a headgate.v1.TelemetryRecord")
        if flaw := flaw_of(parsed):
            return self._skip(record, "malformed-telemetry", flaw)
        try:
            self._handle(parsed, record.timestamp_ms)
        except Exception as error:  # an error about one record must not stop the reader
            logger.exception("telemetry not handled", extra=_where(record))
            self._skip(record, "handler-failed", f"{type(error).__name__}: {error}")

    def _skip(self, record: Record, code: str, reason: str) -> None:
        """Skips a record. Raises LogError when the burial fails; the record is then read again."""
        if self._burials is not None:
            self._burials.bury(record, code, reason)
        else:
            logger.debug("telemetry skipped", extra={**_where(record), "code": code, "why": reason})


def _where(record: Record) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
