"""Writes the lines that a job tells its attempt, which reads them in services/trainer/attempt/progress.py.

Imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from services.trainer.job import NO_EPOCHS


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training rows measured."""

    epoch: int
    train_loss: float
    validation_loss: float
    duration_ms: int


def report(progress: TextIO, **line: object) -> None:
    """Writes one line."""
    progress.write(json.dumps(line) + "\n")


def report_finished(
    progress: TextIO, epochs: Mapping[str, Any] = NO_EPOCHS, export_difference: float = 0.0, resumed_from: int = 0
) -> None:
    """The last line of a job whose files are written. What Headgate did not train itself has no epochs."""
    report(progress, finished={"epochs": epochs, "export_difference": export_difference, "resumed_from": resumed_from})


def report_failed(progress: TextIO, stage: str, reason: str) -> None:
    """The last line of a job that failed."""
    report(progress, failed={"stage": stage, "reason": reason})
