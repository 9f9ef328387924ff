"""Why something is as it is: the tree of the facts that led to it, back to the commit, its data and people. Pure."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from headgate.client.timeline import describe
from headgate.domain.fact import fact_of
from headgate.domain.names import model_stream
from headgate.domain.release import is_active
from headgate.domain.release_fold import QUARANTINING
from headgate.domain.state import ModelState
from headgate.domain.subject import subject_of
from headgate.domain.words import hyphenated
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

MAX_UNDONE = 8
"""The most releases that one explanation follows from undo to undo."""
MAX_RELEASE_FACTS = 50
"""The most facts of a release that its explanation shows, the newest first."""

Cause = registry_service.Cause
BySubject = Mapping[str, Sequence[facts.LifecycleRecord]]

STAGES = (
    ("version_created",),
    ("code_tested",),
    ("training_finished", "training_failed"),
    ("evaluation_finished", "evaluation_failed"),
    ("gate_decided",),
)
"""The facts of which each follows from the one before, in one attempt."""
BESIDE_THE_GATE = (
    "approval_granted",
    "approval_denied",
    "gate_waived",
    "candidate_quarantined",
    "quarantine_lifted",
    "version_cancelled",
    "version_archived",
    "version_purged",
)
MECHANICAL = ("candidate_ready", "weights_applied")
"""Facts of a release that report what gateways did, and decide nothing."""


class Explainer:
    """Explains one model, from its state and the facts of its stream up to the same moment."""

    def __init__(self, state: ModelState, records: Iterable[facts.LifecycleRecord]) -> None:
        self._state = state
        self._facts = _by_subject(records)

    def serving(self, environment: str = "") -> Cause:
        """Why the model serves what it serves, in one environment or in all."""
        live = self._state.model.live
        active = {each.environment for each in self._state.releases.values() if is_active(each)}
        wanted = [environment] if environment else sorted({*live, *active})
        name = model_stream(self._state.name)
        served = [self._serving_in(each) for each in wanted]
        if len(served) == 1:
            return served[0]
        words = f"{self._state.name} serves in {', '.join(wanted)}" if wanted else f"{self._state.name} serves nowhere"
        return Cause(words=words, name=name, causes=served)

    def version(self, number: int) -> Cause:
        """Why a version is as it is."""
        version = self._state.versions[number]
        found = self._facts.get(f"versions/{number}", ())
        beside = [_of(record, version.name) for record in reversed(found) if _kind(record) in BESIDE_THE_GATE]
        way = self._way(version, found)
        words = f"v{number} of {self._state.name} is {version.label}"
        return Cause(words=words, name=version.name, causes=[*self._quarantined_by(version), *beside, *way])

    def release(self, number: int, followed: int = 0) -> Cause:
        """Why a release is as it is."""
        release = self._state.releases[number]
        decided = [each for each in self._facts.get(f"releases/{number}", ()) if _kind(each) not in MECHANICAL]
        causes = [_of(record, release.name) for record in reversed(decided[-MAX_RELEASE_FACTS:])]
        if release.undo_of in self._state.releases and followed < MAX_UNDONE:
            causes.append(self.release(release.undo_of, followed + 1))
        if not followed and release.candidate in self._state.versions:
            causes.append(self.version(release.candidate))
        strategy = hyphenated(configuration.Strategy, release.strategy)
        phase = "paused" if release.paused else hyphenated(resources.Phase, release.phase)
        words = f"release {number} of {self._state.name}: {strategy} of v{release.candidate} into {release.environment}"
        return Cause(words=f"{words} is {phase}", name=release.name, causes=causes)

    def _quarantined_by(self, version: resources.Version) -> list[Cause]:
        """The newest rollback that has quarantined a version. It is a fact of the release, so nothing else says it."""
        if not version.quarantined:
            return []
        lifted = [each.sequence for each in self._facts.get(f"versions/{version.version}", ()) if _lifts(each)]
        own = [each for each in self._state.releases.values() if each.candidate == version.version]
        found = [
            _of(record, each.name)
            for each in own
            for record in self._facts.get(f"releases/{each.release}", ())
            if record.rollback_started.cause in QUARANTINING and record.sequence > max(lifted, default=0)
        ]
        return found[-1:]

    def _serving_in(self, environment: str) -> Cause:
        live = self._state.model.live.get(environment, 0)
        words = f"{self._state.name} serves " + (f"v{live} in {environment}" if live else f"nothing in {environment}")
        into = [each for each in self._state.releases.values() if each.environment == environment]
        brought = next((each for each in reversed(into) if each.candidate == live and _completed(each)), None)
        # What came after it did not replace it: a release that runs now, or the last one that was taken back.
        later = [each for each in into if brought is None or each.release > brought.release]
        shown = [each for each in (*later[-1:], brought) if each is not None]
        causes = [self.release(each.release) for each in shown]
        return Cause(words=words, name=model_stream(self._state.name), causes=causes)

    def _way(self, version: resources.Version, found: Sequence[facts.LifecycleRecord]) -> list[Cause]:
        """The newest stage that the version has reached, each with the one before it as its cause."""
        causes: list[Cause] = []
        after = 0
        for kinds in STAGES:
            record = next((each for each in reversed(found) if _kind(each) in kinds and each.sequence > after), None)
            if record is None:
                continue
            after = record.sequence
            causes = [_of(record, version.name, [*_sources(record, version), *causes])]
        return causes


def _sources(record: facts.LifecycleRecord, version: resources.Version) -> list[Cause]:
    """What no fact of Headgate made, and a stage took."""
    if _kind(record) == "version_created":
        return _origin(record.version_created)
    if _kind(record) in STAGES[2]:
        return [_data(each) for each in version.configuration.data]
    return []


def _origin(fact: facts.VersionCreated) -> list[Cause]:
    if fact.HasField("upload"):
        upload = fact.upload
        model = Cause(words=f"imported file {upload.file_name}", name=f"{upload.uri}@sha256:{upload.model_sha256}")
        return [model, Cause(words="test rows of the import", name=f"sha256:{upload.rows_sha256}")]
    message = fact.commit_message.partition("\n")[0]
    words = f"commit {fact.commit[:10]} of {fact.repository}" + (f": {message}" if message else "")
    updated = [
        Cause(words=f"new data in {each.uri}", name=f"{each.uri}@sha256:{each.sha256}") for each in fact.updated_data
    ]
    return [*updated, Cause(words=words, name=f"{fact.repository}@{fact.commit}")]


def _data(data: configuration.DataFile) -> Cause:
    return Cause(words=f"data {data.name}: {data.uri}", name=f"{data.uri}@sha256:{data.sha256}")


def _of(record: facts.LifecycleRecord, name: str, causes: Iterable[Cause] = ()) -> Cause:
    fact = registry_service.CausingFact(
        stream=record.stream,
        sequence=record.sequence,
        event_id=str(uuid.UUID(bytes=record.event_id)) if len(record.event_id) == 16 else record.event_id.hex(),
        kind=_kind(record),
        occurred_at_ms=record.occurred_at_ms,
        actor=record.actor,
        proven_by=record.proven_by,
    )
    return Cause(words=describe(record), name=name, fact=fact, causes=causes)


def _kind(record: facts.LifecycleRecord) -> str:
    return record.WhichOneof("fact") or ""


def _lifts(record: facts.LifecycleRecord) -> bool:
    return _kind(record) == "quarantine_lifted"


def _completed(release: resources.Release) -> bool:
    return release.phase == resources.PHASE_COMPLETED


def _by_subject(records: Iterable[facts.LifecycleRecord]) -> BySubject:
    found: dict[str, list[facts.LifecycleRecord]] = defaultdict(list)
    for record in records:
        fact = fact_of(record)
        if fact is not None:
            found[subject_of(fact)].append(record)
    return found
