"""Signs the artifacts of trained versions, in a thread of its own, as soon as the fold has them.

The trainer only stores files. What is signed here was read back from the store and hashed, and the key is in no process
that runs the code of a commit. Several registries may sign the same artifact: they make the same manifest.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import load_signing_key
from headgate.artifacts.manifest import sign
from headgate.artifacts.store import ArtifactError, ArtifactStore, StoreUnavailable
from headgate.domain.build import is_signed
from headgate.domain.names import model_stream, short_name, version_name, version_subject
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import LogError, Record
from headgate.runtime.observability.work_log import set_outcome, unit_of_work
from headgate.runtime.retrying import RetryingThread
from headgate.runtime.settings import SettingsError
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.intake import Contended
from services.registry.decider import Decider
from services.registry.handlers import execute

ACTOR = "registry"
WAIT_SECONDS = 0.5
"""Between two looks at the fold when it does not change. A stop waits no longer."""
RETRY_SECONDS = 5.0
"""The pause before a version is tried again whose files or key could not be read."""

logger = logging.getLogger(__name__)


def require_key(keys: Path) -> None:
    """Raises SettingsError when there is no key to sign with."""
    try:
        load_signing_key(keys)
    except KeyUnusable as error:
        raise SettingsError([f"HEADGATE_KEYS: {error}"]) from error


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A trained version without a manifest, as the fold has it."""

    model: str
    version: int
    attempt: int
    commit: str
    artifact: facts.Artifact

    @property
    def name(self) -> str:
        return version_name(self.model, self.version)


class Signing:
    """Signs what waits for a signature, version by version. One that cannot be signed holds up no other."""

    def __init__(
        self, store: ArtifactStore, keys: Path, fold: LifecycleFold, decider: Decider, now_ms: Callable[[], int]
    ) -> None:
        self._store, self._keys = store, keys
        self._fold, self._decider, self._now_ms = fold, decider, now_ms
        self._waiting: dict[tuple[str, int], None] = {}
        self._retry_at: dict[tuple[str, int], float] = {}
        self._revision = -1
        self._thread = RetryingThread("signing", self._run, self._failed, temporary=(LogError, Contended))
        fold.on_accepted(self._note)

    def start(self) -> None:
        """Starts the thread. To be called once the log is replayed."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Waits for the signature in progress."""
        self._thread.stop(grace_seconds)

    def once(self, monotonic_seconds: float) -> None:
        """Signs all that is due. What fails now is tried again later."""
        for unsigned in self._due(monotonic_seconds):
            if self._thread.is_stopping:
                return
            with unit_of_work("signing", unsigned.name, self._trace_of(unsigned), stream=model_stream(unsigned.model)):
                self._sign(unsigned, monotonic_seconds)

    def _run(self) -> None:
        self._revision = self._fold.wait_change(self._revision, WAIT_SECONDS)
        self.once(time.monotonic())

    def _note(self, _: Record, record: facts.LifecycleRecord) -> None:
        """Runs under the fold's lock, for each accepted record."""
        kind = record.WhichOneof("fact")
        if kind == "training_finished" and not is_signed(record.training_finished):
            self._waiting[short_name(record.stream), record.training_finished.version] = None
        elif kind in ("artifact_signed", "version_cancelled"):
            key = short_name(record.stream), getattr(record, kind).version
            self._waiting.pop(key, None)
            self._retry_at.pop(key, None)

    def _due(self, monotonic_seconds: float) -> list[Unsigned]:
        with self._fold.lock:
            keys = [key for key in self._waiting if self._retry_at.get(key, 0.0) <= monotonic_seconds]
            return [_unsigned(model, self._fold.models[model].versions[version]) for model, version in keys]

    def _trace_of(self, unsigned: Unsigned) -> str:
        return self._fold.trace_of(model_stream(unsigned.model), version_subject(unsigned.version))

    def _sign(self, unsigned: Unsigned, monotonic_seconds: float) -> None:
        try:
            key = load_signing_key(self._keys)
            signed = sign(self._store, unsigned.artifact, unsigned.name, key, self._now_ms())
        except (StoreUnavailable, KeyUnusable) as error:
            self._retry_at[unsigned.model, unsigned.version] = monotonic_seconds + RETRY_SECONDS
            set_outcome("failed", str(error))
            return
        except (ArtifactError, ValueError) as error:
            set_outcome("refused", str(error))
            execute(self._decider, cancelled(unsigned, str(error)))
            return
        execute(self._decider, reported(unsigned, signed))

    def _failed(self, error: Exception) -> None:
        logger.warning("signing failed; trying again", extra={"error": str(error)})


def reported(unsigned: Unsigned, signed: facts.Artifact) -> commands.Command:
    """The command that records the signature."""
    fact = facts.ArtifactSigned(
        version=unsigned.version,
        attempt=unsigned.attempt,
        manifest_sha256=signed.manifest_sha256,
        signed_by=signed.signed_by,
        signed_at_ms=signed.signed_at_ms,
    )
    # The manifest is part of the id: another registry with a newer key sends another command.
    command_id = f"{unsigned.name}/attempts/{unsigned.attempt}/signed/{signed.manifest_sha256}/{signed.signed_at_ms}"
    return _command(unsigned, command_id, report_artifact_signed=commands.ReportArtifactSigned(fact=fact))


def cancelled(unsigned: Unsigned, reason: str) -> commands.Command:
    """The command that ends a version whose files are not what the trainer has reported."""
    cancel = commands.CancelVersion(version=unsigned.version, reason=f"its artifact cannot be signed: {reason}")
    return _command(unsigned, f"{unsigned.name}/attempts/{unsigned.attempt}/unsignable", cancel_version=cancel)


def _command(unsigned: Unsigned, command_id: str, **body: object) -> commands.Command:
    return commands.Command(
        command_id=command_id,
        stream=model_stream(unsigned.model),
        actor=ACTOR,
        correlation_id=unsigned.commit,
        **body,  # type: ignore[arg-type]  # one field of the oneof, which the stub cannot express
    )


def _unsigned(model: str, version: resources.Version) -> Unsigned:
    artifact = facts.Artifact()
    artifact.CopyFrom(version.artifact)  # the fold changes its messages in place
    return Unsigned(model, version.version, version.attempt, version.commit, artifact)
