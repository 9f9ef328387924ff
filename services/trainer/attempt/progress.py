"""Reads the progress of a training process while it is written. The lines are foreign, so each one is checked."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.programs.foreign_files import open_foreign

MAX_READ_BYTES = 1 << 20
MAX_REASON = 2048
STAGES = {"TRAINING": facts.STAGE_TRAINING, "EXPORT": facts.STAGE_EXPORT}


class Progress:
    """Calls `on_epoch` with each epoch and `on_checkpoint` with the epoch of each checkpoint.

    In the end it knows how the training ended: `failed`, `finished`, or neither when the process wrote no last line.
    """

    def __init__(
        self,
        file: Path,
        idle_seconds: float,
        on_epoch: Callable[[dict[str, Any]], None],
        on_checkpoint: Callable[[int], None],
    ) -> None:
        self.failed: AttemptFailed | None = None
        self.finished: dict[str, Any] | None = None
        self._file = file
        self._position = 0
        self._idle_seconds = idle_seconds
        self._on_epoch = on_epoch
        self._on_checkpoint = on_checkpoint
        self._last_line_at = time.monotonic()

    def broken_limit(self) -> str:
        """Reads what is new. Says so when nothing came for too long; empty otherwise."""
        self.read()
        idle = time.monotonic() - self._last_line_at > self._idle_seconds
        return f"reported no progress for {self._idle_seconds:g} s" if idle else ""

    def read(self) -> None:
        """Whole lines only: the last one may be half written. Raises AttemptFailed for a line of another form."""
        opened = open_foreign(self._file)
        if opened is None:
            return
        with opened as lines:
            lines.seek(self._position)
            text, newline, _ = lines.read(MAX_READ_BYTES).rpartition(b"\n")
        if not newline:
            return
        self._position += len(text) + 1
        self._last_line_at = time.monotonic()
        for line in text.splitlines():
            self._handle(line)

    def _handle(self, line: bytes) -> None:
        try:
            match json.loads(line):
                case {"epoch": {"epoch": int(), "train_loss": float(), "validation_loss": float()} as epoch}:
                    self._on_epoch(epoch)
                case {"checkpoint": int(epoch)}:
                    self._on_checkpoint(epoch)
                case {"failed": {"stage": str(stage), "reason": str(reason)}} if stage in STAGES:
                    self.failed = AttemptFailed(STAGES[stage], reason[:MAX_REASON])
                case {"finished": {"epochs": dict(), "export_difference": float(), "resumed_from": int()} as finished}:
                    self.finished = finished if math.isfinite(finished["export_difference"]) else None
                case _:
                    raise ValueError("unknown line")
        except (ValueError, RecursionError) as error:
            reason = f"the training process wrote a line that is not a progress report: {line[:200]!r}"
            raise AttemptFailed(facts.STAGE_TRAINING, reason) from error
