"""Fleet: every model with what is live where, its running releases, what waits for a person, and what is broken."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from headgate.domain.label import standing
from headgate.domain.names import in_words, model_stream, project_of
from headgate.domain.pause import candidate_bps
from headgate.domain.phases import is_active, phase_name
from headgate.domain.state import ModelState
from headgate.v1 import resources_pb2 as resources
from services.portal.page import Look, Page

MAX_MODELS = 100
"""Models on one page."""
MAX_LOOKED_AT = 50
"""Versions of one model, the newest ones, among which a page looks for those that wait or have failed."""
MAX_WAITS = 5

FAILED = frozenset(state for name, state in resources.BuildState.items() if name.endswith("_FAILED"))
BUILDING = (
    resources.BUILD_STATE_CREATED,
    resources.BUILD_STATE_TESTING,
    resources.BUILD_STATE_TRAINING,
    resources.BUILD_STATE_TRAINED,
    resources.BUILD_STATE_EVALUATING,
)


@dataclass(frozen=True, slots=True)
class Live:
    """What answers in one environment."""

    environment: str
    version: int


@dataclass(frozen=True, slots=True)
class Release:
    """One release that has not ended."""

    name: str
    number: int
    environment: str
    stable: int
    candidate: int
    candidate_bps: int
    phase: str
    step: int
    steps: int
    paused_reason: str
    is_paused: bool
    since_ms: int
    kind: str
    """The meaning of the colour of its phase."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about a model with the page that says more."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Row:
    """One model."""

    name: str
    project: str
    description: str
    versions: int
    live: Sequence[Live]
    releases: Sequence[Release]
    building: Sequence[Note]
    waits: Sequence[Note]
    broken: Sequence[Note]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the page shows. The counts are about all models that the viewer sees, whatever the filter."""

    rows: Sequence[Row]
    models: int
    left_out: int
    live: int
    releasing: int
    waiting: int
    broken: int
    search: str
    only: str


def fleet(look: Look) -> Fleet:
    """All models that the viewer sees: those that need somebody first, then those in a release, then by name."""
    search, only = look.query.get("search", "").strip(), look.query.get("only", "")
    rows = sorted(_rows(look), key=lambda row: (not row.broken, not row.waits, not row.releases, row.name))
    found = [row for row in rows if search.lower() in row.name.lower() and _is_in(row, only)]
    return Fleet(
        rows=found[:MAX_MODELS],
        models=len(rows),
        left_out=max(0, len(found) - MAX_MODELS),
        live=sum(bool(row.live) for row in rows),
        releasing=sum(bool(row.releases) for row in rows),
        waiting=sum(bool(row.waits) for row in rows),
        broken=sum(bool(row.broken) for row in rows),
        search=search,
        only=only,
    )


def _rows(look: Look) -> Iterator[Row]:
    streams = look.world.folded.streams
    models = look.world.folded.models
    for name in models:
        state = models.get(name) if look.viewer.sees(name) else None
        if state is not None:
            stream = streams.get(model_stream(name))
            yield _row(state, stream.broken if stream else "")


def _row(state: ModelState, stopped: str) -> Row:
    releases = [shown_release(release) for release in state.releases.values() if is_active(release)]
    newest = list(_newest(state))
    return Row(
        name=state.name,
        project=project_of(state.name),
        description=state.model.description,
        versions=len(state.versions),
        live=[Live(environment, number) for environment, number in sorted(state.model.live.items())],
        releases=releases,
        building=_notes(version for version in newest if version.build in BUILDING and _is_kept(version)),
        waits=[*_waiting(newest), *(_paused(state.name, release) for release in releases if release.is_paused)],
        broken=[*_stopped(state.name, stopped), *_failed(state, newest)],
    )


def live_in(live: Mapping[str, int], version: int) -> list[str]:
    """The environments in which this version is live."""
    return sorted(environment for environment, number in live.items() if number == version)


def shown_release(release: resources.Release) -> Release:
    """The release as lists show it."""
    return Release(
        name=release.name,
        number=release.release,
        environment=release.environment,
        stable=release.stable,
        candidate=release.candidate,
        candidate_bps=candidate_bps(release),
        phase=phase_name(release),
        step=release.step + 1,
        steps=len(release.policy.steps),
        paused_reason=release.paused_reason,
        is_paused=release.paused,
        since_ms=release.ended_at_ms or release.phase_since_ms or release.requested_at_ms,
        kind=release_kind(release),
    )


def release_kind(release: resources.Release) -> str:
    """The meaning of the colour of a release's phase."""
    if release.paused:
        return "waits"
    if release.phase == resources.PHASE_COMPLETED:
        return "good"
    if release.phase in (resources.PHASE_ROLLING_BACK, resources.PHASE_ROLLED_BACK, resources.PHASE_REJECTED):
        return "bad"
    return "moving" if is_active(release) else ""


def _newest(state: ModelState) -> Iterable[resources.Version]:
    """The newest versions, the newest first, down to the oldest that is live."""
    oldest = min(state.model.live.values(), default=0)
    numbers = range(len(state.versions), oldest, -1)
    return (state.versions[number] for number in islice(numbers, MAX_LOOKED_AT))


def _is_kept(version: resources.Version) -> bool:
    return version.retention == resources.RETENTION_STATE_KEPT


def _notes(versions: Iterable[resources.Version]) -> list[Note]:
    return [Note(standing(version), f"/{version.name}") for version in islice(versions, MAX_WAITS)]


def _waiting(newest: Iterable[resources.Version]) -> list[Note]:
    waiting = resources.VERDICT_STATE_AWAITING_APPROVAL
    return _notes(version for version in newest if version.verdict == waiting and _is_kept(version))


def _paused(model: str, release: Release) -> Note:
    why = f": {release.paused_reason}" if release.paused_reason else ""
    return Note(f"{in_words(release.name)} is paused{why}", f"/models/{model}/releases/{release.number}")


def _stopped(model: str, stopped: str) -> list[Note]:
    return [Note(f"the stream of {model} has stopped at {stopped}", f"/models/{model}")] if stopped else []


def _failed(state: ModelState, newest: Sequence[resources.Version]) -> list[Note]:
    """The newest version, when its attempt has failed. Older ones had a successor."""
    return _notes(version for version in newest[:1] if version.build in FAILED and _is_kept(version))


def _is_in(row: Row, only: str) -> bool:
    groups = {"live": row.live, "releasing": row.releases, "waiting": row.waits, "broken": row.broken}
    return bool(groups[only]) if only in groups else True


PAGE = Page("/", "fleet.html", fleet)
