"""The training context: what a training loop works on, how it reports an epoch, how it goes on from a checkpoint.

The loop is Headgate's own or the `train(context)` of the repository.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from torch import nn

from services.trainer.child.checkpoint import Part, load, save
from services.trainer.child.failure import NotResumable, TrainingFailure
from services.trainer.child.progress import Epoch
from services.trainer.child.tensors import Rows
from services.trainer.job import Job

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """Where a checkpoint is written, at most once per interval, and the one to go on from when it exists."""

    checkpoint: Path
    resume: Path
    interval_seconds: float


class TrialEnded(BaseException):
    """Ends the repository's training loop, which may catch every Exception."""


class TrainingContext:
    """What `train(context)` gets. The loop trains `network` in place.

    `rows` has features and answers for "train", "validation" and "test". Training rows that are read batch by batch
    stand there as `datasets(context)` gave them. `settings` is the [train] table of headgate.toml. `data` has the path
    of each data file, by name.
    """

    def __init__(
        self,
        network: nn.Module,
        rows: Mapping[str, Rows],
        job: Job,
        checkpoint_files: CheckpointFiles,
        on_epoch: Callable[[Epoch], None],
        on_checkpoint: Callable[[int], None],
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
        self._is_trial = job.is_trial
        self._checkpoint_files = checkpoint_files
        self._on_epoch = on_epoch
        self._on_checkpoint = on_checkpoint
        self._parts: tuple[Part, ...] | None = None
        self._epoch_began = self._saved_at = time.monotonic()

    def resume(self, *parts: Part) -> int:
        """Names everything that changes from epoch to epoch besides the network: optimizers, schedulers, generators.

        Returns how many epochs are done. It is more than 0 when a lost attempt left a checkpoint; the network, the
        parts and the random state are then restored from it. To be called once, before the first epoch. A training
        that does not call it has no checkpoints.
        """
        if self._parts is not None or self.history:
            raise TrainingFailure("train(context): call context.resume once, before the first epoch")
        self._parts = parts
        if self._checkpoint_files.resume.exists():
            history = load(self._checkpoint_files.resume, self.network, parts)
            self.history = [Epoch(**epoch) for epoch in history]
            self.resumed_from = len(self.history)
        self._epoch_began = time.monotonic()
        return self.resumed_from

    def epoch(self, train_loss: float, validation_loss: float) -> None:
        """Reports an epoch that has ended.

        Raises TrainingFailure for a loss that is not a finite number and for an epoch too many, and TrialEnded.
        """
        number = len(self.history) + 1
        if number > self.settings.epochs:
            if self._is_trial:
                raise TrialEnded
            limit = f"train.epochs, which is {self.settings.epochs}"
            raise TrainingFailure(f"train(context): context.epoch was called more often than {limit}")
        losses = float(train_loss), float(validation_loss)
        if not all(math.isfinite(loss) for loss in losses):
            found = f"training {losses[0]}, validation {losses[1]}"
            raise TrainingFailure(f"the loss is not a finite number in epoch {number}: {found}")
        now = time.monotonic()
        epoch = Epoch(number, *losses, int((now - self._epoch_began) * 1000))
        self._epoch_began = now
        self.history.append(epoch)
        self._on_epoch(epoch)
        if self._parts is not None and now - self._saved_at >= self._checkpoint_files.interval_seconds:
            self._save(self._parts)

    def _save(self, parts: tuple[Part, ...]) -> None:
        try:
            save(self._checkpoint_files.checkpoint, self.network, parts, [asdict(epoch) for epoch in self.history])
        except NotResumable as reason:
            logger.warning("this training has no checkpoints: %s", reason)
            self._parts = None
            return
        self._saved_at = time.monotonic()
        self._on_checkpoint(len(self.history))
