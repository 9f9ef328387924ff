"""What a trainer should do now, from the folded models alone: claims, takeovers, and the attempts that it holds."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.build import MAX_ATTEMPTS
from headgate.domain.model import ModelState
from headgate.domain.names import version_subject
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.leases import Claim, Liveness, claim_of
from headgate.worker.loop import Issue, Undertake

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


def due(
    models: Mapping[str, ModelState], worker: WorkerState, liveness: Liveness, now_ms: int, run: Run
) -> Iterator[Issue | Undertake]:
    """The attempts to run, and the claims to make: no more than there is capacity for, the oldest version first."""
    free = worker.capacity
    for claim, version in held(models, worker):
        if claim in worker.running or not liveness.is_lost(claim, version.lease, now_ms):
            free -= 1
            yield undertake(claim, version, run)
    for claim, version in waiting(models, worker, liveness, now_ms):
        if claim.attempt > MAX_ATTEMPTS:
            yield Issue(given_up(claim, version, worker.name))
        elif free > 0:
            free -= 1
            yield Issue(start_testing(claim, version, worker.name, liveness))


def held(models: Mapping[str, ModelState], worker: WorkerState) -> Iterator[tuple[Claim, resources.Version]]:
    """The attempts this process has claimed and still holds."""
    for claim, version in open_versions(models):
        if version.build in IN_PROGRESS and version.lease.worker == worker.name and claim in worker.claimed:
            yield claim, version


def waiting(
    models: Mapping[str, ModelState], worker: WorkerState, liveness: Liveness, now_ms: int
) -> Iterable[tuple[Claim, resources.Version]]:
    """Created versions, and versions whose worker was lost, each with its next attempt; the oldest version first."""
    found = []
    for claim, version in open_versions(models):
        if version.build == resources.BUILD_STATE_CREATED:
            found.append((Claim(claim.stream, claim.version, 1), version))
        elif claim in worker.running and version.lease.worker == worker.name:
            continue
        elif is_orphaned(claim, version, worker) or liveness.is_lost(claim, version.lease, now_ms):
            found.append((Claim(claim.stream, claim.version, claim.attempt + 1), version))
    return sorted(found, key=lambda pair: (pair[1].create_time_ms, pair[0].name))


def open_versions(models: Mapping[str, ModelState]) -> Iterator[tuple[Claim, resources.Version]]:
    for state in models.values():
        for version in state.versions.values():
            if version.retention != resources.RETENTION_STATE_KEPT:
                continue
            if version.build == resources.BUILD_STATE_CREATED or version.build in IN_PROGRESS:
                yield claim_of(state.name, version), version


def is_orphaned(claim: Claim, version: resources.Version, worker: WorkerState) -> bool:
    """Whether an earlier process of this name holds it: only one process of a name lives, so that one has ended."""
    return version.lease.worker == worker.name and claim not in worker.claimed


def undertake(claim: Claim, version: resources.Version, run: Run) -> Undertake:
    copy = resources.Version()
    copy.CopyFrom(version)
    return Undertake(claim.name, lambda: run(claim, copy), "training", claim.stream, version_subject(claim.version))


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


def given_up(claim: Claim, version: resources.Version, worker: str) -> commands.Command:
    """The command that fails a version after its last allowed attempt was lost."""
    last = Claim(claim.stream, claim.version, claim.attempt - 1)
    fact = facts.TrainingFailed(
        version=last.version,
        attempt=last.attempt,
        stage=facts.STAGE_TRAINING if version.build == resources.BUILD_STATE_TRAINING else facts.STAGE_TESTS,
        reason=f"{MAX_ATTEMPTS} attempts were lost without a report; the last worker was {version.lease.worker}",
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
