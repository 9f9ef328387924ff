"""What a trainer should do now, from the folded models alone: claims, takeovers, and the attempts that it holds."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.build import MAX_ATTEMPTS
from headgate.domain.model import ModelState
from headgate.domain.names import model_stream, version_subject
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.isolation import Undecidable, isolated
from headgate.worker.leases import Claim, Liveness, claim_of, why_lost
from headgate.worker.loop import DueWork, Issue

WORK = "testing"
"""What the trainer's heartbeats call its work, from the tests of a commit to its artifact."""
LEASE_MS = 20_000

IN_PROGRESS = (resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING)


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What this process has claimed since it started, what it runs now, and how many attempts it runs at once."""

    name: str
    claimed: Container[Claim]
    running: Container[Claim]
    capacity: int = 1


Run = Callable[[Claim, resources.Version], commands.Command | None]


@dataclass(frozen=True, slots=True)
class _Open:
    """An open version with the work about it, and whether that work takes one of the worker's places."""

    claim: Claim
    version: resources.Version
    work: Issue | DueWork
    is_held: bool = False
    takes_place: bool = True


def due(
    models: Mapping[str, ModelState], worker: WorkerState, liveness: Liveness, now_ms: int, run: Run
) -> Iterator[Issue | DueWork | Undecidable]:
    """The attempts to run, and the claims to make: no more than there is capacity for, the oldest version first.

    A version about which an error keeps us from deciding is named, and the others go on.
    """
    found: list[_Open] = []
    for state, version in open_versions(models):
        subject = version_subject(version.version)
        for each in isolated(
            model_stream(state.name), subject, _of_version, state, version, worker, liveness, now_ms, run
        ):
            if isinstance(each, Undecidable):
                yield each
            else:
                found.append(each)
    yield from (each.work for each in found if each.is_held)
    free = worker.capacity - sum(each.is_held for each in found)
    for each in sorted(found, key=lambda each: (each.version.create_time_ms, each.claim.name)):
        if not each.is_held and (free > 0 or not each.takes_place):
            free -= each.takes_place
            yield each.work


def held(models: Mapping[str, ModelState], worker: WorkerState) -> Iterator[Claim]:
    """The attempts this process has claimed and still holds."""
    for state, version in open_versions(models):
        claim = claim_of(state.name, version)
        if _is_held(claim, version, worker):
            yield claim


def _of_version(
    state: ModelState, version: resources.Version, worker: WorkerState, liveness: Liveness, now_ms: int, run: Run
) -> Iterator[_Open]:
    claim = claim_of(state.name, version)
    is_lost = version.build in IN_PROGRESS and liveness.is_lost(claim, version.lease, now_ms)
    if _is_held(claim, version, worker) and (claim in worker.running or not is_lost):
        yield _Open(claim, version, training_work(claim, version, run), is_held=True)
    elif version.build == resources.BUILD_STATE_CREATED:
        yield _claimed(Claim(claim.stream, claim.version, 1), version, worker, liveness)
    elif claim in worker.running and version.lease.worker == worker.name:
        return
    elif is_orphaned(claim, version, worker) or is_lost:
        yield _claimed(Claim(claim.stream, claim.version, claim.attempt + 1), version, worker, liveness)


def _claimed(following: Claim, version: resources.Version, worker: WorkerState, liveness: Liveness) -> _Open:
    if following.attempt > MAX_ATTEMPTS:
        return _Open(following, version, Issue(give_up(following, version, worker.name)), takes_place=False)
    return _Open(following, version, Issue(start_testing(following, version, worker.name, liveness)))


def open_versions(models: Mapping[str, ModelState]) -> Iterator[tuple[ModelState, resources.Version]]:
    """Kept versions that are created or whose attempt is in progress."""
    for state in models.values():
        for version in state.versions.values():
            if is_open(version):
                yield state, version


def is_open(version: resources.Version) -> bool:
    """Whether the version is kept, and is created or has an attempt in progress."""
    is_kept = version.retention == resources.RETENTION_STATE_KEPT
    return is_kept and (version.build == resources.BUILD_STATE_CREATED or version.build in IN_PROGRESS)


def _is_held(claim: Claim, version: resources.Version, worker: WorkerState) -> bool:
    return version.build in IN_PROGRESS and version.lease.worker == worker.name and claim in worker.claimed


def is_orphaned(claim: Claim, version: resources.Version, worker: WorkerState) -> bool:
    """Whether an earlier process of this name holds it: only one process of a name lives, so that one has ended."""
    return version.lease.worker == worker.name and claim not in worker.claimed


def training_work(claim: Claim, version: resources.Version, run: Run) -> DueWork:
    copy = resources.Version()
    copy.CopyFrom(version)
    return DueWork(claim.name, lambda: run(claim, copy), "training", claim.stream, version_subject(claim.version))


def start_testing(claim: Claim, version: resources.Version, worker: str, liveness: Liveness) -> commands.Command:
    predecessor = Claim(claim.stream, claim.version, claim.attempt - 1)
    command = commands.StartTesting(
        version=claim.version,
        attempt=claim.attempt,
        worker=worker,
        lease_ms=LEASE_MS,
        predecessor_seen_at_ms=liveness.last_seen_ms(predecessor),
    )
    return attempt_command(claim, f"claimed/{worker}", version, worker, start_testing=command)


def give_up(claim: Claim, version: resources.Version, worker: str) -> commands.Command:
    """The command that fails a version after its last allowed attempt was lost."""
    last = Claim(claim.stream, claim.version, claim.attempt - 1)
    fact = facts.TrainingFailed(
        version=last.version,
        attempt=last.attempt,
        stage=facts.STAGE_TRAINING if version.build == resources.BUILD_STATE_TRAINING else facts.STAGE_TESTS,
        reason=why_lost(version),
    )
    failed = commands.ReportTrainingFailed(fact=fact)
    return attempt_command(last, f"given-up/{worker}", version, worker, report_training_failed=failed)


def attempt_command(
    claim: Claim, what: str, version: resources.Version, worker: str, **command: object
) -> commands.Command:
    """A command about an attempt. Its id is the same each time it is sent, so it has its effect once."""
    return commands.Command(
        command_id=f"{claim.name}/{what}",
        stream=claim.stream,
        actor=f"trainer/{worker}",
        causation_id=claim.version_name,
        correlation_id=version.commit,
        **command,  # type: ignore[arg-type]  # one of the oneof's fields, which the callers name
    )
