"""What an attempt works with, and what surrounds it: a scratch folder, a heartbeat, and the voice on telemetry."""

import logging
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.artifacts.keys import SigningKey, TrustedKeys
from headgate.artifacts.store import ArtifactStore
from headgate.log.port import LogError
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import telemetry_pb2 as telemetry
from services.trainer.attempts import Attempts
from services.trainer.due import HEARTBEAT_SECONDS, Claim

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


@contextmanager
def heartbeat(bench: Bench, claim: Claim) -> Iterator[None]:
    ended = threading.Event()
    beat = telemetry.WorkHeartbeat(stream=claim.stream, version=claim.version, attempt=claim.attempt, work="testing")

    def speak() -> None:
        while not ended.is_set():
            send(bench, claim, work_heartbeat=beat)
            ended.wait(HEARTBEAT_SECONDS)

    thread = threading.Thread(target=speak, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(HEARTBEAT_SECONDS)


def send(bench: Bench, claim: Claim, **measurement: object) -> None:
    """A measurement that cannot be written is lost; the attempt is not."""
    try:
        bench.telemetry.send(claim.stream, **measurement)
    except LogError as error:
        logger.warning("telemetry not written", extra={"attempt": claim.name, "error": str(error)})
