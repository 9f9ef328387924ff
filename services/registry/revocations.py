"""Quarantines a live version or a candidate that only revoked keys have signed, in a thread of its own.

The trust file is read again at each look, so a revocation counts without a restart. The id of the command is made of
version and key: a quarantine that a person has lifted stays lifted, and several registries quarantine once.
"""

import logging
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from headgate.artifacts.blobs import ArtifactError, StoreUnavailable
from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import TRUSTED, load_trusted
from headgate.artifacts.manifest import signers
from headgate.artifacts.store import ArtifactStore
from headgate.artifacts.trust_file import TRUST_FILE, Bounds, read_bounds
from headgate.domain.names import model_stream, split_stream, version_name, version_subject
from headgate.domain.phases import is_active
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import LogError, Record
from headgate.runtime.observability.work_log import unit_of_work
from headgate.runtime.retrying import RetryingThread
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.intake import Contended
from services.registry.decider import Decider
from services.registry.handlers import execute
from services.registry.signing import ACTOR

LOOK_SECONDS = 2.0
"""Between two looks at the trust file and at what has changed."""
RETRY_SECONDS = 5.0
"""The pause after keys, a manifest or the log could not be read."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InUse:
    """A version that is live or the candidate of a release, and not quarantined."""

    model: str
    version: int
    artifact: facts.Artifact

    @property
    def name(self) -> str:
        return version_name(self.model, self.version)


class Revocations:
    """Looks at all models when other keys are revoked, and else at those whose state has changed."""

    def __init__(self, store: ArtifactStore, keys: Path, fold: LifecycleFold, decider: Decider) -> None:
        self._store, self._keys, self._fold, self._decider = store, keys, fold, decider
        self._changed: set[str] = set()
        self._revoked: frozenset[str] = frozenset()
        temporary = (LogError, Contended, KeyUnusable, StoreUnavailable)
        self._thread = RetryingThread("revocations", self._run, self._failed, RETRY_SECONDS, temporary)
        fold.on_accepted(self._note)

    def start(self) -> None:
        """Starts the thread. To be called once the log is replayed."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Waits for the command in progress."""
        self._thread.stop(grace_seconds)

    def once(self) -> None:
        """Quarantines what only revoked keys have signed. The first error is raised after all other models."""
        bounds = read_bounds(self._keys / TRUSTED / TRUST_FILE)
        revoked = frozenset(key_id for key_id, each in bounds.items() if each.revoked)
        valid = load_trusted(self._keys).keys() - revoked if revoked else frozenset()
        errors: list[Exception] = []
        for model in self._to_look_at(revoked):
            if self._thread.is_stopping:
                return
            try:
                self._look_at(model, bounds, revoked, valid)
            except (LogError, Contended, StoreUnavailable) as error:
                errors.append(error)
                self._again(model)
        if errors:
            raise errors[0]

    def _run(self) -> None:
        if not self._thread.pause(LOOK_SECONDS):
            self.once()

    def _note(self, _: Record, record: facts.LifecycleRecord) -> None:
        """Runs under the fold's lock, for each accepted record."""
        kind, name = split_stream(record.stream)
        if kind == "models":
            self._changed.add(name)

    def _again(self, model: str) -> None:
        with self._fold.lock:
            self._changed.add(model)

    def _to_look_at(self, revoked: frozenset[str]) -> list[str]:
        with self._fold.lock:
            models = set(self._fold.models) if revoked != self._revoked else self._changed
            self._changed, self._revoked = set(), revoked
        return sorted(models) if revoked else []

    def _look_at(
        self, model: str, bounds: Mapping[str, Bounds], revoked: frozenset[str], valid: AbstractSet[str]
    ) -> None:
        with self._fold.lock:
            state = self._fold.models.get(model)
            found = list(in_use(state)) if state is not None else []
        for version in found:
            signed_by = self._signers(version)
            if signed_by & revoked and not signed_by & valid:
                key_id = min(signed_by & revoked)
                self._quarantine(version, key_id, bounds[key_id].revoked)

    def _signers(self, version: InUse) -> set[str]:
        """The keys that the manifest names; none of one that nobody can load, which needs no quarantine."""
        try:
            return set(signers(self._store, version.artifact))
        except ArtifactError as error:
            logger.warning("a manifest cannot be read", extra={"version": version.name, "error": str(error)})
            return set()

    def _quarantine(self, version: InUse, key_id: str, why: str) -> None:
        stream, command = model_stream(version.model), quarantine(version, key_id, why)
        with self._fold.lock:
            if self._fold.streams[stream].knows(command.command_id):
                return
            trace = self._fold.trace_of(stream, version_subject(version.version))
        with unit_of_work("revocation", version.name, trace, stream=stream):
            execute(self._decider, command)

    def _failed(self, error: Exception) -> None:
        logger.warning("looking for what revoked keys have signed failed; trying again", extra={"error": str(error)})


def in_use(state: ModelState) -> Iterator[InUse]:
    """What is live or the candidate of a release, signed and not quarantined. Artifacts are copies."""
    numbers = {*state.model.live.values(), *(each.candidate for each in state.releases.values() if is_active(each))}
    for number in sorted(numbers & state.versions.keys()):
        version = state.versions[number]
        if version.artifact.manifest_sha256 and not version.quarantined:
            artifact = facts.Artifact()
            artifact.CopyFrom(version.artifact)  # the fold changes its messages in place
            yield InUse(state.name, number, artifact)


def quarantine(version: InUse, key_id: str, why: str) -> commands.Command:
    """The command that quarantines a version which this key alone has signed."""
    reason = f"the key that has signed it is revoked: {why} (key {key_id})"
    return commands.Command(
        command_id=f"{version.name}/revoked/{key_id}",
        stream=model_stream(version.model),
        actor=ACTOR,
        quarantine_candidate=commands.QuarantineCandidate(version=version.version, reason=reason),
    )
