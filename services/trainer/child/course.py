"""One training as its loop sees it: what is trained on what, and how it tells of its epochs and goes on after a loss.

The loop is Headgate's or the repository's own `train(context)`; the context is a Course.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from torch import Tensor, nn

from services.trainer.child.checkpoint import NotResumable, Part, load, save
from services.trainer.job import Job

Rows = tuple[Tensor, Tensor]

logger = logging.getLogger(__name__)


class TrainingFailure(Exception):
    """The repository's code or its training did something that cannot become a version."""


@dataclass(frozen=True, slots=True)
class Epoch:
    epoch: int
    train_loss: float
    validation_loss: float
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Papers:
    """Where a training's checkpoints go, and the one it may go on from."""

    checkpoint: Path
    resume: Path
    seconds: float


class Course:
    """Trains `network` in place on `rows`, by part of the data; `settings` is the [train] table of headgate.toml."""

    def __init__(
        self,
        network: nn.Module,
        rows: Mapping[str, Rows],
        job: Job,
        papers: Papers,
        told: Callable[[Epoch], None],
        kept: Callable[[int], None],
    ) -> None:
        self.network = network
        self.rows = rows
        self.data = {name: Path(path) for name, path in job.data.items()}
        self.parameters = dict(job.parameters)
        self.seed = job.seed
        self.settings = SimpleNamespace(
            loss=job.loss,
            optimizer=job.optimizer,
            learning_rate=job.learning_rate,
            momentum=job.momentum,
            weight_decay=job.weight_decay,
            epochs=job.epochs,
            batch_size=job.batch_size,
        )
        self.history: list[Epoch] = []
        self.resumed_from = 0
        self._papers = papers
        self._told = told
        self._kept = kept
        self._parts: tuple[Part, ...] | None = None
        self._epoch_began = self._saved_at = time.monotonic()

    def resume(self, *parts: Part) -> int:
        """Names what changes from epoch to epoch beside the network: optimizers, schedulers, generators.

        Returns how many epochs are done: 0, or more once network, parts and chance stand where the checkpoint of a
        lost attempt left them. Without this call a training starts from nothing each time. To be called once, before
        the first epoch.
        """
        if self._parts is not None or self.history:
            raise TrainingFailure("train(context): context.resume is called once, before the first epoch")
        self._parts = parts
        if self._papers.resume.exists():
            told = load(self._papers.resume, self.network, parts)
            self.history = [Epoch(**epoch) for epoch in told]
            self.resumed_from = len(self.history)
        self._epoch_began = time.monotonic()
        return self.resumed_from

    def epoch(self, train_loss: float, validation_loss: float) -> None:
        """Tells of an epoch that has ended. Raises TrainingFailure for a loss that is no finite number."""
        number = len(self.history) + 1
        if number > self.settings.epochs:
            raise TrainingFailure(f"train(context): told of more epochs than train.epochs, {self.settings.epochs}")
        losses = float(train_loss), float(validation_loss)
        if not all(math.isfinite(loss) for loss in losses):
            found = f"training {losses[0]}, validation {losses[1]}"
            raise TrainingFailure(f"the loss is no finite number in epoch {number}: {found}")
        now = time.monotonic()
        epoch = Epoch(number, *losses, int((now - self._epoch_began) * 1000))
        self._epoch_began = now
        self.history.append(epoch)
        self._told(epoch)
        if self._parts is not None and now - self._saved_at >= self._papers.seconds:
            self._save(self._parts)

    def _save(self, parts: tuple[Part, ...]) -> None:
        try:
            save(self._papers.checkpoint, self.network, parts, [asdict(epoch) for epoch in self.history])
        except NotResumable as reason:
            logger.warning("no checkpoints: %s", reason)
            self._parts = None
            return
        self._saved_at = time.monotonic()
        self._kept(len(self.history))
