"""Reads the progress of a training process while it is written. The lines are foreign, so each one is checked."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.configuration import MAX_EPOCHS
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.programs.foreign_files import open_foreign

MAX_READ_BYTES = 1 << 20
MAX_REASON = 2048
MAX_NUMBER = 2**31 - 1
STAGES = {"TRAINING": facts.STAGE_TRAINING, "EXPORT": facts.STAGE_EXPORT}


class Progress:
    """Calls `on_epoch` with each epoch and `on_checkpoint` with the epoch of the last checkpoint.

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
        self._last_epoch = 0
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
        checkpoints = [epoch for line in text.splitlines() if (epoch := self._handled(line)) is not None]
        # All lines are about the same file, which is large.
        if checkpoints:
            self._on_checkpoint(checkpoints[-1])

    def _handled(self, line: bytes) -> int | None:
        """The epoch of the checkpoint that the line is about."""
        try:
            match json.loads(line):
                case {"epoch": dict(epoch)} if is_epoch(epoch) and self._last_epoch < epoch["epoch"] <= MAX_EPOCHS:
                    self._last_epoch = epoch["epoch"]
                    self._on_epoch(epoch)
                case {"checkpoint": epoch} if is_number(epoch):
                    return int(epoch)
                case {"failed": {"stage": str(stage), "reason": str(reason)}} if stage in STAGES:
                    self.failed = AttemptFailed(STAGES[stage], printable(reason[:MAX_REASON]))
                case {"finished": dict(finished)} if is_end(finished):
                    self.finished = finished if math.isfinite(finished["export_difference"]) else None
                case _:
                    raise ValueError("unknown line")
        except (ValueError, RecursionError) as error:
            reason = f"the training process wrote a line that is not a progress report: {line[:200]!r}"
            raise AttemptFailed(facts.STAGE_TRAINING, reason) from error
        return None


def is_epoch(found: object) -> bool:
    match found:
        case {"epoch": epoch, "train_loss": float(), "validation_loss": float(), **more}:
            return is_number(epoch) and is_number(more.get("duration_ms", 0))
        case _:
            return False


def is_end(found: object) -> bool:
    match found:
        case {"epochs": epochs, "export_difference": float(), "resumed_from": resumed_from}:
            return is_epoch(epochs) and is_number(resumed_from)
        case _:
            return False


def is_number(found: object) -> bool:
    """Whether a field of a fact takes it as a number. True and False are none."""
    return type(found) is int and 0 <= found <= MAX_NUMBER


def printable(text: str) -> str:
    """JSON can hold halves of characters, which no fact takes."""
    return text.encode(errors="replace").decode()
