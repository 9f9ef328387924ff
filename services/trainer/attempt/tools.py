"""What an attempt works with: store, key for checkpoints, limits, a scratch directory, its reports and telemetry."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headgate.artifacts.checkpoint_keys import CheckpointKey
from headgate.artifacts.store import ArtifactStore
from headgate.jail.decision import JailSettings
from headgate.jail.port import Jail
from headgate.log.port import LogError
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.worker.leases import Claim
from services.trainer.attempt.checkout import GitAccess
from services.trainer.attempt.remote_data import DataAccess
from services.trainer.attempts import Attempts
from services.trainer.packages.locked import LockedPackages

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    tests_seconds: float = 600.0
    training_seconds: float = 3600.0
    epoch_seconds: float = 600.0
    checkpoint_seconds: float = 30.0
    import_seconds: float = 900.0
    """For all that is done with an imported file, which is not trained."""
    epochs: int | None = None
    """Trains no more than so many epochs of those that headgate.toml asks for. A trainer trains them all."""


DEFAULT_LIMITS = Limits()
MAX_DEADLINE_SECONDS = 1e9


def deadline_of(began_ms: int, limit_seconds: float) -> int:
    """When what began then is ended at the latest; 0 for a limit beyond MAX_DEADLINE_SECONDS, which nobody awaits."""
    return began_ms + int(limit_seconds * 1000) if limit_seconds <= MAX_DEADLINE_SECONDS else 0


@dataclass(frozen=True, slots=True)
class AttemptTools:
    """The same for every attempt of one trainer. `report` sends a command and waits for a log that is away.

    `log_time_ms` is the log's time, by which others see when an attempt began.
    """

    worker: str
    store: ArtifactStore
    checkpoint_key: CheckpointKey
    telemetry: TelemetryWriter
    attempts: Attempts
    report: Callable[[commands.Command], None]
    log_time_ms: Callable[[], int]
    scratch: Path
    limits: Limits
    data: DataAccess
    packages: LockedPackages
    jail: Jail
    """Where foreign code runs."""
    git: GitAccess = field(default_factory=GitAccess)
    jail_settings: JailSettings = field(default_factory=JailSettings)
    hidden: tuple[Path, ...] = ()
    """What the code of a commit must not read: the keys and the operator's credentials."""
    child: tuple[str, ...] = ("python", "-P", "-m", "services.trainer.child")
    importing: tuple[str, ...] = ("python", "-P", "-m", "services.trainer.child.importing")
    """The child for an imported version, which needs no torch."""

    def send_measurement(self, claim: Claim, **measurement: object) -> None:
        """Writes telemetry about the attempt. One that cannot be written is lost; the attempt goes on."""
        try:
            self.telemetry.send(claim.stream, **measurement)
        except LogError as error:
            logger.warning("telemetry not written", extra={"attempt": claim.name, "error": str(error)})
