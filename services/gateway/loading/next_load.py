"""Decides what the version loader does next. Pure: the state changes under the loader's lock, and time comes in."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from headgate.artifacts.layout import MODEL_FILE
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading.eviction import Held, Role, VersionKey, giving_way, session_bytes
from services.gateway.sessions import LoadedVersion

ATTEMPTS_BEFORE_FAILURE = 3
"""A version is reported as failed after this many attempts. The attempts go on, because the cause may pass."""

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 30.0
LOOK_SECONDS = 0.1
"""How often a load that requests wait for looks for room again."""
MAX_REASON_CHARACTERS = 500
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version to load, what it does in its route, and the memory that it takes."""

    artifact: facts.Artifact
    role: Role
    size_bytes: int


def wanted_version(artifact: facts.Artifact, role: Role) -> Wanted:
    """Its memory is known from the artifact's record, before anything is read."""
    model_bytes = sum(file.size_bytes for file in artifact.files if file.name == MODEL_FILE)
    return Wanted(artifact, role, session_bytes(model_bytes))


@dataclass(slots=True)
class LoadAttempts:
    """The failed attempts to load one version, and the time of the next one."""

    failed: int = 0
    due_at: float = 0.0
    reason: str = ""

    def fail(self, reason: str, now: float) -> None:
        """Notes a failed attempt. The pause before the next one doubles each time, up to a limit."""
        self.failed += 1
        self.due_at = now + min(FIRST_RETRY_SECONDS * 2**self.failed, LONGEST_RETRY_SECONDS)
        self.reason = reason[:MAX_REASON_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Ready:
    """A loaded version with the memory that it takes. `since` is when it was loaded for a request, or 0."""

    version: LoadedVersion
    size_bytes: int
    since: float


@dataclass(slots=True)
class State:
    """What is wanted, what is there, and what was tried."""

    wanted: Mapping[VersionKey, Wanted] = field(default_factory=dict)
    ready: dict[VersionKey, Ready] = field(default_factory=dict)
    loading: set[VersionKey] = field(default_factory=set)
    asleep: set[VersionKey] = field(default_factory=set)
    """What the next request loads, because there is no room for it without one."""
    asked: dict[VersionKey, float] = field(default_factory=dict)
    """When a request first asked for a version that is not loaded."""
    attempts: dict[VersionKey, LoadAttempts] = field(default_factory=dict)

    def want(self, wanted: Mapping[VersionKey, Wanted]) -> list[Ready]:
        """Sets what is wanted, forgets all else, and returns what was loaded of that."""
        self.wanted = dict(wanted)
        dropped = [ready for key, ready in self.ready.items() if key not in wanted]
        self.ready = {key: ready for key, ready in self.ready.items() if key in wanted}
        self.attempts = {key: attempts for key, attempts in self.attempts.items() if key in wanted}
        self.asked = {key: at for key, at in self.asked.items() if key in wanted}
        self.asleep &= wanted.keys()
        return dropped

    def held(self) -> Iterator[Held]:
        """The loaded versions as the rule of eviction sees them."""
        for key, ready in self.ready.items():
            version = ready.version
            used_at = max(version.statistics.last_monotonic, ready.since)
            yield Held(key, self.wanted[key].role, ready.size_bytes, used_at, version.queue.is_busy)

    def failures(self) -> dict[VersionKey, str]:
        """The versions that failed at least ATTEMPTS_BEFORE_FAILURE times, each with the last reason."""
        failed = ((key, each) for key, each in self.attempts.items() if each.failed >= ATTEMPTS_BEFORE_FAILURE)
        return {key: each.reason for key, each in failed}

    def missing(self, for_requests: bool) -> Iterator[VersionKey]:
        """What is to be loaded: what requests wait for, or all else. What has failed delays no request's version."""
        for key in self.wanted:
            if key not in self.ready and key not in self.loading:
                is_for_request = key in self.asked and key not in self.attempts
                if is_for_request == for_requests:
                    yield key

    def sleeps_on(self, key: VersionKey, missing_bytes: Callable[[int], int]) -> bool:
        """Whether a version that sleeps has no room still, and no request that asks for it. Most of many do."""
        return (
            key in self.asleep
            and key not in self.asked
            and self.wanted[key].role is Role.LIVE
            and missing_bytes(self.wanted[key].size_bytes) > 0
        )

    def due_at(self, key: VersionKey) -> float:
        """When the next attempt to load the version is due."""
        attempts = self.attempts.get(key)
        return attempts.due_at if attempts else 0.0


@dataclass(frozen=True, slots=True)
class LoadNow:
    """Load this version, once the others have given way."""

    key: VersionKey
    wanted: Wanted
    giving_way: Collection[VersionKey]


@dataclass(frozen=True, slots=True)
class Refuse:
    """There is no room for this version, and it must not sleep."""

    key: VersionKey
    reason: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Leave these versions to the next request for them."""

    keys: Collection[VersionKey]


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is due before so many seconds, or before something changes."""

    seconds: float | None


Step = LoadNow | Refuse | Sleep | Rest


def next_step(
    state: State, limit_bytes: int, missing_bytes: Callable[[int], int], for_requests: bool, now: float
) -> Step:
    """`missing_bytes` says how much has to give way for a version of some size."""
    due: list[VersionKey] = []
    later: list[VersionKey] = []
    for key in state.missing(for_requests):
        if state.sleeps_on(key, missing_bytes):
            continue
        (due if state.due_at(key) <= now else later).append(key)
    without_room = []
    for key in sorted(due, key=lambda key: _order(state, key)):
        wanted, is_asked = state.wanted[key], key in state.asked
        if wanted.size_bytes > limit_bytes:
            return Refuse(key, _too_large(wanted.size_bytes, limit_bytes))
        found = giving_way(missing_bytes(wanted.size_bytes), wanted.role, is_asked, state.held(), now)
        if found is not None:
            return LoadNow(key, wanted, found)
        if not wanted.role.may_sleep:
            return Refuse(key, _no_room(wanted.size_bytes, limit_bytes))
        without_room.append(key)
    if newly := [key for key in without_room if key not in state.asleep]:
        return Sleep(newly)
    pauses = [state.due_at(key) - now for key in later]
    pauses += [LOOK_SECONDS for key in without_room if key in state.asked]
    return Rest(min(pauses, default=None))


def _order(state: State, key: VersionKey) -> tuple[bool, Role, float]:
    return key in state.attempts, state.wanted[key].role, state.asked.get(key) or state.due_at(key)


def _too_large(size_bytes: int, limit_bytes: int) -> str:
    return (
        f"it takes {size_bytes / MIB:,.1f} MiB of memory, and all loaded versions together may take"
        f" {limit_bytes / MIB:,.1f} MiB; raise HEADGATE_MODEL_MEMORY_BYTES of the gateway"
    )


def _no_room(size_bytes: int, limit_bytes: int) -> str:
    return (
        f"it takes {size_bytes / MIB:,.1f} MiB of memory, and the versions that answer requests leave no room within"
        f" {limit_bytes / MIB:,.1f} MiB; raise HEADGATE_MODEL_MEMORY_BYTES of the gateway"
    )
