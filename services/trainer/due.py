"""What a trainer should be doing, from the folded models alone: claims, takeovers, and the attempts it holds."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.build import MAX_ATTEMPTS
from headgate.domain.model import ModelState
from headgate.domain.names import model_stream, version_subject
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.loop import Issue, Undertake

LEASE_MS = 20_000
HEARTBEAT_SECONDS = 2.0

AT_WORK = (resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING)


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one version."""

    stream: str
    version: int
    attempt: int

    @property
    def name(self) -> str:
        return f"{self.stream}/versions/{self.version}/attempts/{self.attempt}"


@dataclass(frozen=True, slots=True)
class Hands:
    """What this process has claimed since it started, what it is doing, and how many attempts it does at once.

    It has heard every sign of life since `listening_since_ms`; of earlier ones it may have missed the last.
    """

    worker: str
    claimed: Container[Claim]
    running: Container[Claim]
    capacity: int = 1
    listening_since_ms: int = 0


Run = Callable[[Claim, resources.Version], commands.Command | None]


def due(
    models: Mapping[str, ModelState], hands: Hands, now_ms: int, seen: Mapping[Claim, int], run: Run
) -> Iterator[Issue | Undertake]:
    """`seen` is the last sign of life of each attempt. Claims no more than the free hands, oldest version first."""
    free = hands.capacity
    for claim, version in held(models, hands):
        if claim in hands.running or not is_lost(claim, version, hands, now_ms, seen):
            free -= 1
            yield undertake(claim, version, run)
    for claim, version in waiting(models, hands, now_ms, seen):
        if claim.attempt > MAX_ATTEMPTS:
            yield Issue(given_up(claim, version, hands.worker))
        elif free > 0:
            free -= 1
            yield Issue(start_testing(claim, version, hands.worker, seen))


def held(models: Mapping[str, ModelState], hands: Hands) -> Iterator[tuple[Claim, resources.Version]]:
    """The attempts this process has claimed and still holds."""
    for claim, version in open_versions(models):
        if version.build in AT_WORK and version.lease.worker == hands.worker and claim in hands.claimed:
            yield claim, version


def waiting(
    models: Mapping[str, ModelState], hands: Hands, now_ms: int, seen: Mapping[Claim, int]
) -> Iterable[tuple[Claim, resources.Version]]:
    """Created versions, and those whose worker was lost, each with the attempt that comes next."""
    found = []
    for claim, version in open_versions(models):
        if version.build == resources.BUILD_STATE_CREATED:
            found.append((Claim(claim.stream, claim.version, 1), version))
        elif claim in hands.running and version.lease.worker == hands.worker:
            continue
        elif is_forgotten(claim, version, hands) or is_lost(claim, version, hands, now_ms, seen):
            found.append((Claim(claim.stream, claim.version, claim.attempt + 1), version))
    return sorted(found, key=lambda pair: (pair[1].create_time_ms, pair[0].name))


def open_versions(models: Mapping[str, ModelState]) -> Iterator[tuple[Claim, resources.Version]]:
    for state in models.values():
        for version in state.versions.values():
            if version.retention != resources.RETENTION_STATE_KEPT:
                continue
            if version.build == resources.BUILD_STATE_CREATED or version.build in AT_WORK:
                yield Claim(model_stream(state.name), version.version, version.attempt), version


def is_forgotten(claim: Claim, version: resources.Version, hands: Hands) -> bool:
    """Claimed under this worker's name by a process that is no more: there is one live process per name."""
    return version.lease.worker == hands.worker and claim not in hands.claimed


def is_lost(claim: Claim, version: resources.Version, hands: Hands, now_ms: int, seen: Mapping[Claim, int]) -> bool:
    alive_at_ms = max(version.lease.claimed_at_ms, seen.get(claim, 0), hands.listening_since_ms)
    return now_ms >= alive_at_ms + version.lease.lease_ms


def undertake(claim: Claim, version: resources.Version, run: Run) -> Undertake:
    copy = resources.Version()
    copy.CopyFrom(version)
    return Undertake(claim.name, lambda: run(claim, copy), "training", claim.stream, version_subject(claim.version))


def start_testing(claim: Claim, version: resources.Version, worker: str, seen: Mapping[Claim, int]) -> commands.Command:
    predecessor = Claim(claim.stream, claim.version, claim.attempt - 1)
    command = commands.StartTesting(
        version=claim.version,
        attempt=claim.attempt,
        worker=worker,
        lease_ms=LEASE_MS,
        predecessor_seen_at_ms=seen.get(predecessor, 0),
    )
    return envelope(claim, f"claimed/{worker}", version, worker, start_testing=command)


def given_up(claim: Claim, version: resources.Version, worker: str) -> commands.Command:
    """Ends the version whose last allowed attempt was lost too."""
    last = Claim(claim.stream, claim.version, claim.attempt - 1)
    fact = facts.TrainingFailed(
        version=last.version,
        attempt=last.attempt,
        stage=facts.STAGE_TRAINING if version.build == resources.BUILD_STATE_TRAINING else facts.STAGE_TESTS,
        reason=f"{MAX_ATTEMPTS} attempts were lost without a report; the last worker was {version.lease.worker}",
    )
    failed = commands.ReportTrainingFailed(fact=fact)
    return envelope(last, f"given-up/{worker}", version, worker, report_training_failed=failed)


def envelope(claim: Claim, what: str, version: resources.Version, worker: str, **command: object) -> commands.Command:
    """A command about an attempt; its id is the same each time this worker says it."""
    return commands.Command(
        command_id=f"{claim.name}/{what}",
        stream=claim.stream,
        actor=f"trainer/{worker}",
        causation_id=f"{claim.stream}/versions/{claim.version}",
        correlation_id=version.commit,
        **command,  # type: ignore[arg-type]  # one of the oneof's fields, which the callers name
    )
