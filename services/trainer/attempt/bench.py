"""What an attempt works with, and what surrounds it: a scratch folder and the writer of its telemetry."""

import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.artifacts.keys import SigningKey, TrustedKeys
from headgate.artifacts.store import ArtifactStore
from headgate.log.port import LogError
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.worker.leases import Claim
from services.trainer.attempts import Attempts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    tests_seconds: float = 600.0
    training_seconds: float = 3600.0
    epoch_seconds: float = 600.0
    checkpoint_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What an attempt works with."""

    worker: str
    store: ArtifactStore
    key: SigningKey
    trusted: TrustedKeys
    telemetry: TelemetryWriter
    attempts: Attempts
    issue: Callable[[commands.Command], None]
    scratch: Path
    limits: Limits
    child: tuple[str, ...] = (sys.executable, "-P", "-m", "services.trainer.child")


@contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="attempt-", dir=parent)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def send(bench: Bench, claim: Claim, **measurement: object) -> None:
    """A measurement that cannot be written is lost; the attempt is not."""
    try:
        bench.telemetry.send(claim.stream, **measurement)
    except LogError as error:
        logger.warning("telemetry not written", extra={"attempt": claim.name, "error": str(error)})
