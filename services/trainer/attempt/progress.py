"""Reads a training child's lines while it writes them; what it wrote is foreign and is checked."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed

MAX_READ_BYTES = 1 << 20
MAX_REASON = 2048
STAGES = {"TRAINING": facts.STAGE_TRAINING, "EXPORT": facts.STAGE_EXPORT}


class Progress:
    """Hands each epoch to `measured`, and to `kept` that of a checkpoint; `overran` tells when none came in time."""

    def __init__(
        self,
        file: Path,
        idle_seconds: float,
        measured: Callable[[dict[str, Any]], None],
        kept: Callable[[int], None],
    ) -> None:
        self.failed: AttemptFailed | None = None
        self.finished: dict[str, Any] | None = None
        self._file = file
        self._position = 0
        self._idle_seconds = idle_seconds
        self._measured = measured
        self._kept = kept
        self._heard_at = time.monotonic()

    def overran(self) -> str:
        self.read()
        idle = time.monotonic() - self._heard_at > self._idle_seconds
        return f"told nothing for {self._idle_seconds:g} s" if idle else ""

    def read(self) -> None:
        """Whole lines only: the last one may be half written."""
        if not self._file.exists():
            return
        with self._file.open("rb") as lines:
            lines.seek(self._position)
            text, newline, _ = lines.read(MAX_READ_BYTES).rpartition(b"\n")
        if not newline:
            return
        self._position += len(text) + 1
        self._heard_at = time.monotonic()
        for line in text.splitlines():
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            match json.loads(line):
                case {"epoch": {"epoch": int(), "train_loss": float(), "validation_loss": float()} as epoch}:
                    self._measured(epoch)
                case {"checkpoint": int(epoch)}:
                    self._kept(epoch)
                case {"failed": {"stage": str(stage), "reason": str(reason)}} if stage in STAGES:
                    self.failed = AttemptFailed(STAGES[stage], reason[:MAX_REASON])
                case {"finished": {"epochs": dict(), "export_difference": float(), "resumed_from": int()} as finished}:
                    self.finished = finished if math.isfinite(finished["export_difference"]) else None
                case _:
                    raise ValueError("unknown line")
        except ValueError as error:
            reason = f"the training process told something that is no progress: {line[:200]!r}"
            raise AttemptFailed(facts.STAGE_TRAINING, reason) from error
