"""The signs of life of every evaluator, as heard on telemetry."""

from headgate.v1 import telemetry_pb2 as telemetry
from services.evaluator.due import Life
from services.evaluator.work import WORK

MAX_ATTEMPTS_KEPT = 10_000
"""Attempts whose last sign is remembered; the one that has been silent the longest is forgotten first."""


class Signs:
    """Heard by one thread, read by another; each call is one operation on a dictionary."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._signs: dict[tuple[str, int, int], int] = {}

    def hear(self, record: telemetry.TelemetryRecord, timestamp_ms: int) -> None:
        """Remembers a heartbeat of an evaluation and ignores all else."""
        beat = record.work_heartbeat
        if record.WhichOneof("measurement") != "work_heartbeat" or beat.work != WORK:
            return
        key = (beat.stream, beat.version, beat.attempt)
        last = self._signs.pop(key, 0)
        self._signs[key] = max(last, timestamp_ms)
        while len(self._signs) > MAX_ATTEMPTS_KEPT:
            self._signs.pop(next(iter(self._signs)))

    def life(self) -> Life:
        """What `due` decides on."""
        return Life(dict(self._signs), self._since_ms)
