"""What an evaluator should do now, from the folded models alone: claim, evaluate, ask for the verdict, fail the lost.

Nothing is remembered between calls, so an evaluator that starts again finds the same work.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.build import first_evaluation, is_last_attempt
from headgate.domain.comparison import environment_of
from headgate.domain.names import model_stream, version_subject
from headgate.domain.state import ModelState
from headgate.domain.versions import is_purged
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.isolation import Undecidable, isolated
from headgate.worker.leases import Claim, Liveness, claim_of, why_lost

ACTOR = "evaluator"
WORK = "evaluation"
"""What the evaluator's heartbeats call its work."""
LEASE_MS = 15_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """An evaluation that this worker holds: the version as it was claimed, and the live version to compare it with."""

    model: str
    version: resources.Version
    baseline: resources.Version | None

    @property
    def claim(self) -> Claim:
        return claim_of(self.model, self.version)

    @property
    def key(self) -> str:
        return f"{self.version.name}/evaluations/{self.version.attempt}"


def due(
    models: Mapping[str, ModelState], worker: str, liveness: Liveness, now_ms: int
) -> Iterator[commands.Command | Assignment | Undecidable]:
    """The commands and evaluations that are due, and the versions about which nothing can be decided.

    `worker` is a new name at each start, so a crash ends its claims.

    A worker holds one evaluation at a time, because a claim that waits in a queue sends no heartbeats.
    """
    found = [
        work
        for state in models.values()
        for version in state.versions.values()
        for work in isolated(
            model_stream(state.name),
            version_subject(version.version),
            _due_for,
            state,
            version,
            worker,
            liveness,
            now_ms,
        )
    ]
    may_claim = not any(isinstance(work, Assignment) for work in found)
    for work in found:
        if isinstance(work, commands.Command) and work.HasField("start_evaluation"):
            if may_claim:
                yield work
            may_claim = False
        else:
            yield work


def _due_for(
    state: ModelState, version: resources.Version, worker: str, liveness: Liveness, now_ms: int
) -> Iterator[commands.Command | Assignment]:
    if is_purged(version):
        return
    if attempt := first_evaluation(state, version):
        yield _claim(state, version, attempt, worker=worker, seen_at_ms=0)
    elif version.build == resources.BUILD_STATE_EVALUATING:
        if liveness.is_lost(claim_of(state.name, version), version.lease, now_ms):
            yield _after_loss(state, version, worker, liveness)
        elif version.lease.worker == worker:
            yield assignment(state, version)
    elif version.build == resources.BUILD_STATE_EVALUATED and version.verdict == resources.VERDICT_STATE_UNDECIDED:
        decide = commands.DecideGate(version=version.version)
        command_id = f"{version.name}/evaluations/{version.attempt}/gate"
        yield command(state.name, version, command_id, decide_gate=decide)


def assignment(state: ModelState, version: resources.Version) -> Assignment:
    """The evaluation of a version, with the version that is live where it wants to go."""
    live = state.model.live.get(environment_of(version), 0)
    baseline = state.versions.get(live) if live != version.version else None
    return Assignment(state.name, _copy(version), _copy(baseline) if baseline is not None else None)


def is_held(models: Mapping[str, ModelState], worker: str, claim: Claim) -> bool:
    """Whether this worker still holds the evaluation: it was not cancelled, and nobody took it over."""
    state = models.get(claim.model)
    version = state.versions.get(claim.version) if state is not None else None
    return (
        version is not None
        and version.build == resources.BUILD_STATE_EVALUATING
        and (version.lease.worker, version.attempt) == (worker, claim.attempt)
    )


def command(model: str, version: resources.Version, command_id: str, **body: object) -> commands.Command:
    """A command of the evaluator about one version."""
    return commands.Command(
        command_id=command_id,
        stream=model_stream(model),
        actor=ACTOR,
        correlation_id=version.commit,
        **body,  # type: ignore[arg-type]  # one field of the oneof, which the stub cannot express
    )


def _after_loss(state: ModelState, version: resources.Version, worker: str, liveness: Liveness) -> commands.Command:
    if not is_last_attempt(version.attempt):
        seen_at_ms = liveness.last_seen_ms(claim_of(state.name, version))
        return _claim(state, version, version.attempt + 1, worker, seen_at_ms)
    failed = facts.EvaluationFailed(
        version=version.version,
        attempt=version.attempt,
        reason=why_lost(version),
    )
    command_id = f"{version.name}/evaluations/{version.attempt}/lost"
    report = commands.ReportEvaluationFailed(fact=failed)
    return command(state.name, version, command_id, report_evaluation_failed=report)


def _claim(
    state: ModelState, version: resources.Version, attempt: int, worker: str, seen_at_ms: int
) -> commands.Command:
    start = commands.StartEvaluation(
        version=version.version,
        attempt=attempt,
        worker=worker,
        lease_ms=LEASE_MS,
        predecessor_seen_at_ms=seen_at_ms,
    )
    command_id = f"{version.name}/evaluations/{attempt}/claims/{worker}"
    return command(state.name, version, command_id, start_evaluation=start)


def _copy(version: resources.Version) -> resources.Version:
    # The fold changes its messages in place while the evaluation runs.
    copy = resources.Version()
    copy.CopyFrom(version)
    return copy
