"""What releases and versions wait for, and until when: the one sentence that every command shows.

The deployer and the trainer know it. Each is asked once. Without an answer the sentence names whom we could not reach.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import grpc

from headgate.client.errors import failure
from headgate.client.stubs import Stubs
from headgate.configuration import ONNX
from headgate.domain.build import is_signed
from headgate.domain.names import model_stream, release_name, version_name
from headgate.domain.phases import is_active, phase_with_step
from headgate.domain.verdict import RELEASABLE
from headgate.domain.words import duration_text, time_text, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services

ASK_SECONDS = 2.0
"""How long to wait for the answer of a deployer or a trainer. The command itself does not need it."""
WATCH_SECONDS = 10.0
"""How long a watch waits for it: on a busy machine an answer takes longer, and the watch goes on anyway."""
MAX_ACTIVE = 1_000
MAX_NAMED = 3
"""How many of the versions that wait for a trainer are named."""

IN_PROGRESS: Mapping[resources.BuildState.ValueType, str] = {
    resources.BUILD_STATE_TESTING: "its tests",
    resources.BUILD_STATE_TRAINING: "its training",
    resources.BUILD_STATE_EVALUATING: "its evaluation",
}
TRAINERS_WORK = (resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING)
NEXT: Mapping[resources.BuildState.ValueType, str] = {
    resources.BUILD_STATE_TRAINED: "an evaluator",
    resources.BUILD_STATE_EVALUATED: "the verdict of its gate",
}

Found = TypeVar("Found")
Attempts = worker_services.ListAttemptsResponse
Pilots = worker_services.ListPilotsResponse


@dataclass(frozen=True, slots=True)
class Answer(Generic[Found]):
    """What a service answered; or, when `problem` is not empty, why it did not."""

    found: Found
    problem: str = ""


class Waits:
    """The waits of releases and versions, as one run of a command asks for them."""

    def __init__(self, stubs: Stubs, ask_seconds: float = ASK_SECONDS) -> None:
        self._stubs = stubs
        self._ask_seconds = ask_seconds

    def now_ms(self) -> int:
        """The log's time, which the times of releases and versions are of."""
        return self._stubs.shown_ms()

    def of_release(self, release: resources.Release, has_left: bool = True) -> str:
        """What an active release waits for, and if `has_left` how long; empty when its next command is due."""
        if self._is_past or not is_active(release):
            return ""
        return release_wait(release, self._deployer, self.now_ms(), has_left)

    def of_version(self, version: resources.Version, has_left: bool = True) -> str:
        """What a version waits for until it serves or has failed, and if `has_left` how long; empty for nothing."""
        if self._is_past:
            return ""
        attempts = self._attempts if needs_trainer(version) else _NO_ATTEMPTS
        if own := build_wait(version, attempts, self.now_ms(), has_left):
            return own + (behind(self._created.found) if version.build in TRAINERS_WORK else "")
        if version.verdict not in RELEASABLE:
            return ""
        if self._active.problem:
            return unknown(self._active.problem)
        release = self._active.found.get(version.name)
        if release is None:
            return line_wait(version, self._deployer, self.now_ms(), has_left)
        return in_release(release, self.of_release(release, has_left))

    def judgement(self, release: resources.Release) -> facts.Judgement:
        """The judgement of this moment. Without the deployer's answer, the last one that the log has."""
        pilot = pilot_of(release, self._deployer) if is_active(release) and not self._is_past else None
        return release.judgement if pilot is None else pilot.judgement

    @property
    def _is_past(self) -> bool:
        """Whether a moment in the past is shown. What was waited for then, no fact says."""
        return self._stubs.as_of.moment is not None

    @cached_property
    def _deployer(self) -> Answer[Pilots]:
        def ask() -> Pilots:
            return self._stubs.deployer.ListPilots(worker_services.ListPilotsRequest(), timeout=self._ask_seconds)

        return _asked(ask, Pilots(), "deployer", self._stubs.deployer_address)

    @cached_property
    def _attempts(self) -> Answer[Attempts]:
        def ask() -> Attempts:
            request = worker_services.ListAttemptsRequest()
            return self._stubs.trainer.ListAttempts(request, timeout=self._ask_seconds)

        return _asked(ask, Attempts(), "trainer", self._stubs.trainer_address)

    @cached_property
    def _created(self) -> Answer[Sequence[str]]:
        """The short names of versions that no trainer has claimed, a few more than are shown."""

        def ask() -> Sequence[str]:
            request = registry_service.ListVersionsRequest(
                parent=model_stream("-"),
                filter='build = "created" AND retention = "kept"',
                order_by="create_time",
                page_size=MAX_NAMED + 1,
            )
            versions = self._stubs.registry.ListVersions(request, timeout=self._ask_seconds).versions
            return [f"{version.name.split('/')[1]}/{version.version}" for version in versions]

        return _asked(ask, (), "registry", self._stubs.registry_address)

    @cached_property
    def _active(self) -> Answer[Mapping[str, resources.Release]]:
        """The active releases by the name of their candidate."""

        def ask() -> Mapping[str, resources.Release]:
            request = release_service.ListReleasesRequest(
                parent=model_stream("-"), filter="active = true", page_size=MAX_ACTIVE
            )
            releases = self._stubs.releases.ListReleases(request, timeout=self._ask_seconds).releases
            return {version_name(model_of(release), release.candidate): release for release in releases}

        return _asked(ask, {}, "registry", self._stubs.registry_address)


_NO_ATTEMPTS = Answer(Attempts())


def as_field(wait_of: Callable[[Any], str]) -> Callable[[Any], dict[str, Any]]:
    """The wait as a field of JSON and YAML. It is absent when there is no wait."""

    def field(resource: Any) -> dict[str, Any]:
        wait = wait_of(resource)
        return {"waiting_for": wait} if wait else {}

    return field


def _asked(ask: Callable[[], Found], nothing: Found, service: str, address: str) -> Answer[Found]:
    try:
        return Answer(ask())
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Answer(nothing, f"the {service} at {address} did not answer in time")
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return Answer(nothing, f"the {service} cannot be reached at {address}")
        return Answer(nothing, f"the {service} at {address} does not answer: {failure(error)}")


def unknown(problem: str) -> str:
    """The end of the sentence "it waits for ..." when nobody can say for what."""
    return f"something unknown, because {problem}"


def model_of(release: resources.Release) -> str:
    return release.name.split("/")[1]


def pilot_of(release: resources.Release, pilots: Answer[Pilots]) -> worker_services.Pilot | None:
    """The deployer's view of this release. A deployer of another log may have a release of the same name."""
    wanted = (release.name, release.requested_at_ms)
    found = (each for each in pilots.found.pilots if (each.release.name, each.release.requested_at_ms) == wanted)
    return next(found, None)


def release_wait(release: resources.Release, pilots: Answer[Pilots], at_ms: int, has_left: bool = True) -> str:
    """What an active release waits for, in words."""
    if pilots.problem:
        return unknown(pilots.problem)
    pilot = pilot_of(release, pilots)
    if pilot is None:
        return "the deployer to see it"
    other = _ahead(model_of(release), pilot.ahead, pilots)
    return sentence(pilot, at_ms, has_left, other)


def line_wait(version: resources.Version, pilots: Answer[Pilots], at_ms: int, has_left: bool = True) -> str:
    """What a version that passed its gate waits for before it gets its release; empty when it waits for nothing."""
    wanted = (version.name, version.create_time_ms)
    found = (each for each in pilots.found.waiting_versions if (each.name, each.create_time_ms) == wanted)
    line = next(found, None)
    if line is None:
        return ""
    other = _ahead(version.name.split("/")[1], line.ahead, pilots)
    return sentence(worker_services.Pilot(waiting_for=line.waiting_for), at_ms, has_left, other)


def _ahead(model: str, release: int, pilots: Answer[Pilots]) -> worker_services.Pilot | None:
    """The deployer's view of the release whose end another one of this model waits for."""
    name = release_name(model, release)
    return next((each for each in pilots.found.pilots if each.release.name == name), None) if release else None


def sentence(
    pilot: worker_services.Pilot, at_ms: int, has_left: bool = True, ahead: worker_services.Pilot | None = None
) -> str:
    """The end of the sentence "it waits for ...", with the time when the wait ends and what ends it.

    `at_ms` is the present time; `has_left` adds how long it is until then. `ahead` is the release whose end this one
    waits for: its earliest end and what it waits for itself are named, too.
    """

    def moment(time_ms: int) -> str:
        return _moment(time_ms, at_ms, has_left)

    # A reason may end with a full stop, and the sentence goes on.
    text = pilot.waiting_for.removesuffix(".")
    until_ms, deadline_ms = pilot.waiting_until_ms, pilot.deadline_ms
    if ahead is not None and ahead.earliest_end_ms > max(at_ms, ahead.waiting_until_ms):
        text += f", not before {moment(ahead.earliest_end_ms)}"
    if text and until_ms:
        text += f", until {moment(until_ms)}"
    if text and pilot.frozen_by:
        text += f"; it also waits for {pilot.frozen_by}, until {moment(pilot.frozen_until_ms)}"
    if text and deadline_ms and (not until_ms or deadline_ms < until_ms):
        text += f"; {pilot.at_deadline}" + (f" at {moment(deadline_ms)}" if deadline_ms > at_ms else "")
    # The reason of a pause stands in the text already.
    if ahead is not None and not ahead.release.paused and (own := sentence(ahead, at_ms, has_left)):
        text += f"; release {ahead.release.release} waits for {own}"
    return text


def _moment(time_ms: int, at_ms: int, has_left: bool) -> str:
    """The time, and if `has_left` how long it is until then."""
    left = f" (in {duration_text(time_ms - at_ms)})" if has_left and time_ms > at_ms else ""
    return f"{time_text(time_ms)}{left}"


def in_release(release: resources.Release, waiting_for: str) -> str:
    """What a version in an active release waits for."""
    rest = f", which waits for {waiting_for}" if waiting_for else ""
    return f"release {release.release} ({phase_with_step(release)}){rest}"


def needs_trainer(version: resources.Version) -> bool:
    """Whether a trainer knows best what the version waits for."""
    is_kept = version.retention == resources.RETENTION_STATE_KEPT
    return is_kept and version.build in (resources.BUILD_STATE_CREATED, *TRAINERS_WORK)


def build_wait(version: resources.Version, attempts: Answer[Attempts], at_ms: int, has_left: bool = True) -> str:
    """What a version waits for until its verdict is final; empty afterwards.

    `at_ms` is the present time; `has_left` adds how long it is until the trainer would end its work.
    """
    if version.retention != resources.RETENTION_STATE_KEPT:
        return ""
    if version.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL:
        missing = version.gate.policy.approvals - version.approvals
        each = "approvals, each" if missing > 1 else "approval,"
        return f"{missing} more {each} from another person"
    if version.verdict != resources.VERDICT_STATE_UNDECIDED:
        return ""
    if version.build == resources.BUILD_STATE_CREATED:
        return _a_trainer(attempts, at_ms, has_left)
    if version.build == resources.BUILD_STATE_TRAINED and not is_signed(version):
        return "the signature of a registry"
    if version.build in NEXT:
        return NEXT[version.build]
    if version.build not in IN_PROGRESS:
        return ""
    busy = duration_text(at_ms - version.lease.claimed_at_ms)
    work = IN_PROGRESS[version.build] + _stage(version, attempts, at_ms, has_left)
    return f"{work}; {version.lease.worker} has worked on it for {busy}"


def behind(names: Sequence[str]) -> str:
    """The versions that wait for a trainer meanwhile, as the end of a sentence; empty when none does."""
    if not names:
        return ""
    shown = [*names[:MAX_NAMED], *(["others"] if len(names) > MAX_NAMED else [])]
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return f"; {listed} {'waits' if len(names) == 1 else 'wait'} for a trainer meanwhile"


def _stage(version: resources.Version, attempts: Answer[Attempts], at_ms: int, has_left: bool) -> str:
    """Where in its work the trainer is, as the middle of a sentence, and when it would end that at the latest.

    Empty while no trainer has the attempt.
    """
    if attempts.problem:
        return f" (its stage is unknown, because {attempts.problem})"
    wanted = (version.name, version.attempt)
    running = (each for each in attempts.found.attempts if each.running)
    attempt = next((e for e in running if (version_name(e.model, e.version), e.attempt) == wanted), None)
    if attempt is None:
        return ""
    until = _at_the_latest(attempt, at_ms, has_left)
    if attempt.stage == facts.STAGE_TESTS:
        return until
    if attempt.stage != facts.STAGE_TRAINING:
        return f" (now: {word_of(facts.Stage, attempt.stage)}{until})"
    return _epochs(version, attempt) + until


def _at_the_latest(attempt: worker_services.TrainingAttempt, at_ms: int, has_left: bool) -> str:
    """When the trainer would end the present stage, as the end of a sentence; empty for a stage without a limit."""
    deadline_ms = attempt.deadline_ms
    return f", at the latest until {_moment(deadline_ms, at_ms, has_left)}" if deadline_ms else ""


def _epochs(version: resources.Version, attempt: worker_services.TrainingAttempt) -> str:
    if version.HasField("upload") or version.configuration.code.kind == ONNX:
        return ""  # it has no epochs
    if not attempt.HasField("last_epoch"):
        return " (now: before the first epoch ends)"
    return f" (now: {_last_epoch(attempt)})"


def _last_epoch(attempt: worker_services.TrainingAttempt) -> str:
    last = attempt.last_epoch
    left_ms = (last.epochs - last.epoch) * last.duration_ms
    return f"epoch {last.epoch} of {last.epochs} has ended" + (
        f", about {duration_text(left_ms)} left" if left_ms else ""
    )


def _a_trainer(attempts: Answer[Attempts], at_ms: int, has_left: bool) -> str:
    """The trainer, with the version that it works on, the stage of that, and when the stage ends at the latest."""
    if attempts.problem:
        return f"a trainer; whether one is busy is unknown, because {attempts.problem}"
    busy = [_busy_with(each, at_ms, has_left) for each in attempts.found.attempts if each.running]
    if attempts.found.busy_elsewhere:
        busy.append("a version that you may not read")
    return f"the trainer, which has been busy with {'; and with '.join(busy)}" if busy else "a trainer to claim it"


def _busy_with(attempt: worker_services.TrainingAttempt, at_ms: int, has_left: bool) -> str:
    busy = f"{attempt.model}/{attempt.version} for {duration_text(at_ms - attempt.started_at_ms)}"
    epoch = (
        f", {_last_epoch(attempt)}" if attempt.stage == facts.STAGE_TRAINING and attempt.HasField("last_epoch") else ""
    )
    return f"{busy}; now: {word_of(facts.Stage, attempt.stage)}{epoch}{_at_the_latest(attempt, at_ms, has_left)}"


class NewWaits:
    """Which waits of a watch are news. A wait whose numbers alone have changed is none.

    A wait is news when it is there at two moments in a row, or at the first moment: many last for an instant only.
    """

    def __init__(self) -> None:
        self._shown = self._before = ""
        self._is_first = True

    def is_new(self, waiting_for: str) -> bool:
        kind = "".join(char for char in waiting_for if not char.isdigit())
        is_certain = self._is_first or kind == self._before
        self._before, self._is_first = kind, False
        if not kind or kind == self._shown or not is_certain:
            return False
        self._shown = kind
        return True
