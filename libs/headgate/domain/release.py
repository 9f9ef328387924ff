"""The release axis: how a version gets into an environment. It moves forward on evidence, and back at any time."""

from typing import assert_never

from headgate.domain import policy as policies
from headgate.domain.approvals import refuse_unapproved
from headgate.domain.comparison import refuse_unjudged
from headgate.domain.fact import ReleaseFact
from headgate.domain.freezes import refuse_frozen
from headgate.domain.names import NAME_RULE, in_words, is_name, release_name, version_name
from headgate.domain.pause import has_fallen_back, pause, resume, weights_of_step
from headgate.domain.phases import ACTIVE, RUNNING, TERMINAL, going_nowhere, is_active, phase_name
from headgate.domain.refusal import ALREADY_EXISTS, Refused, illegal, invalid, not_found
from headgate.domain.releasable import candidate_refused
from headgate.domain.release_fold import evolve
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

__all__ = [
    "ACTIVE",
    "RUNNING",
    "TERMINAL",
    "ReleaseCommand",
    "candidate_refused",
    "decide",
    "evolve",
    "is_active",
    "phase_name",
]

_BegunCommand = (
    commands.ReportCandidateReady
    | commands.SetWeights
    | commands.ReportWeightsApplied
    | commands.PromoteRelease
    | commands.CompleteRelease
    | commands.PauseRelease
    | commands.ResumeRelease
    | commands.RollBackRelease
    | commands.FinishRollback
    | commands.SupersedeRelease
    | commands.UndoRelease
)
_RunningCommand = commands.BeginRelease | _BegunCommand
ReleaseCommand = commands.StartRelease | _RunningCommand
Decision = ReleaseFact | Refused | None

STRATEGIES = (configuration.STRATEGY_CANARY, configuration.STRATEGY_BLUE_GREEN, configuration.STRATEGY_DIRECT)
_PAUSE_RULE = "a paused release cannot move forward"
_MOVING_UP = (resources.PHASE_PREPARING, resources.PHASE_STEPPING)


def decide(
    state: ModelState,
    command: ReleaseCommand,
    at_ms: int,
    environments: dict[str, EnvironmentState],
    access: AccessState | None = None,
) -> Decision:
    """The fact that a release command leads to, a refusal, or None when the fact holds already.

    `environments` has the policies and freezes, and `access` the grants: approvals count while those of their authors
    hold. Neither freezes nor missing approvals ever stop a rollback or an undo.
    """
    if isinstance(command, commands.StartRelease):
        return _start(state, command, environments, access)
    release = state.releases.get(command.release)
    if release is None:
        return not_found(release_name(state.name, command.release), "release")
    if _moves_forward(release, command) and not release.undo_of:
        frozen = refuse_frozen(environments.get(release.environment), release.environment, at_ms)
        if frozen is not None:
            return frozen
    if isinstance(command, commands.BeginRelease):
        return _begin(state, release, environments.get(release.environment), access)
    return _decide_running(state, release, command, at_ms)


def _moves_forward(release: resources.Release, command: _RunningCommand) -> bool:
    if isinstance(command, commands.ResumeRelease):
        return has_fallen_back(release)
    return isinstance(command, commands.BeginRelease | commands.SetWeights | commands.PromoteRelease)


def _decide_running(  # noqa: C901 - a closed match reads as a table
    state: ModelState, release: resources.Release, command: _BegunCommand, at_ms: int
) -> Decision:
    match command:
        case commands.ReportCandidateReady():
            return _candidate_ready(release, command)
        case commands.SetWeights():
            return _set_weights(state, release, command)
        case commands.ReportWeightsApplied():
            return _weights_applied(release, command)
        case commands.PromoteRelease():
            return _promote(state, release, command)
        case commands.CompleteRelease():
            return _complete(state, release, command)
        case commands.PauseRelease():
            return pause(release, command, at_ms)
        case commands.ResumeRelease():
            return _resume(state, release, command)
        case commands.RollBackRelease():
            return _roll_back(release, command)
        case commands.FinishRollback():
            return _finish_rollback(release)
        case commands.SupersedeRelease():
            return _supersede(state, release, command)
        case commands.UndoRelease():
            return _undo(state, release, command)
        case _:
            assert_never(command)


def _start(
    state: ModelState,
    command: commands.StartRelease,
    environments: dict[str, EnvironmentState],
    access: AccessState | None,
) -> Decision:
    if not is_name(command.environment):
        return invalid("environment", command.environment, NAME_RULE)
    version = state.versions.get(command.candidate)
    if version is None:
        return not_found(version_name(state.name, command.candidate), "candidate")
    for release in state.releases.values():
        same = release.candidate == command.candidate and release.environment == command.environment
        if same and is_active(release):
            rule = "a version has one release at a time in an environment"
            return Refused(
                ALREADY_EXISTS, rule, f"{in_words(version.name)} is already in {in_words(release.name)}", "candidate"
            )
    refused = (
        candidate_refused(version, command.override_quarantine)
        or refuse_unjudged(state, version)
        or refuse_unapproved(state, version, environments.get(command.environment), access)
    )
    if refused is not None:
        return refused
    live = state.model.live.get(command.environment, 0)
    if live == command.candidate:
        return illegal(f"{in_words(version.name)} is live in {command.environment}", "a live version needs no release")
    return _request(state, command, live, environments)


def _request(
    state: ModelState, command: commands.StartRelease, live: int, environments: dict[str, EnvironmentState]
) -> Decision:
    strategy = command.strategy or configuration.STRATEGY_CANARY
    if strategy not in STRATEGIES:
        shown = "shadow" if strategy == configuration.STRATEGY_SHADOW else strategy
        return invalid("strategy", shown, "the strategies are canary, blue-green and direct")
    environment = environments.get(command.environment)
    own = command.policy if command.HasField("policy") else None
    policy = policies.resolve(own or (environment.environment.policy if environment else None))
    refused = policies.check(policy)
    if refused is not None:
        return refused
    # A release that waits for the first one will have a stable version to compare with when it begins.
    queued = any(is_active(each) and each.environment == command.environment for each in state.releases.values())
    number = len(state.releases) + 1
    return facts.ReleaseRequested(
        release=number,
        environment=command.environment,
        candidate=command.candidate,
        strategy=strategy if live or queued else configuration.STRATEGY_DIRECT,
        policy=policy,
        policy_sha256=policies.digest(policy),
        salt=f"{state.name}/{number}",
        reason=command.reason,
        override_quarantine=command.override_quarantine,
    )


def _begin(
    state: ModelState, release: resources.Release, environment: EnvironmentState | None, access: AccessState | None
) -> Decision:
    if release.phase == resources.PHASE_PREPARING:
        return None
    if release.phase != resources.PHASE_REQUESTED:
        return illegal(f"{in_words(release.name)} is {phase_name(release)}", "only a requested release can begin")
    if release.paused:
        return illegal(f"{in_words(release.name)} is paused: {release.paused_reason}", _PAUSE_RULE)
    for other in state.releases.values():
        if other.environment == release.environment and other.phase in RUNNING:
            return illegal(
                f"{in_words(other.name)} is running", "only one release of a model can run in an environment"
            )
    version = state.versions[release.candidate]
    if (unjudged := refuse_unjudged(state, version)) is not None:
        return unjudged
    refused = candidate_refused(version, release.override_quarantine)
    if refused := refused or (None if release.undo_of else refuse_unapproved(state, version, environment, access)):
        # The candidate may no longer be released, so the release ends. Otherwise the pilot would begin it for ever.
        return facts.ReleaseRejected(release=release.release, reason=refused.message)
    return facts.ReleaseStarted(release=release.release, stable=state.model.live.get(release.environment, 0))


def _candidate_ready(release: resources.Release, command: commands.ReportCandidateReady) -> Decision:
    if release.candidate_ready:
        return None
    if release.phase != resources.PHASE_PREPARING:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "readiness can be reported only while preparing"
        )
    if not command.gateways:
        return invalid("gateways", [], "a candidate must be ready on at least one gateway")
    return facts.CandidateReady(release=release.release, gateways=command.gateways)


def _set_weights(state: ModelState, release: resources.Release, command: commands.SetWeights) -> Decision:
    if release.phase == resources.PHASE_STEPPING and release.step == command.step:
        return None
    refused = _forward_refused(state, release)
    if refused is not None:
        return refused
    if release.strategy != configuration.STRATEGY_CANARY or not release.stable:
        return illegal(
            f"{in_words(release.name)} has no steps", "only a canary release with a stable version has steps"
        )
    if command.step != release.step + 1 or command.step >= len(release.policy.steps):
        return invalid("step", command.step, f"the next step is {release.step + 1}")
    if command.step > 0 and not release.applied_at_ms:
        return illegal(
            f"{in_words(release.name)} step {release.step} is not applied",
            "a step must be applied and observed before the next one",
        )
    if command.step > 0 and command.judgement.verdict not in (facts.VERDICT_PASS, facts.VERDICT_INCONCLUSIVE):
        return illegal(f"{in_words(release.name)} has no judgement", "a step needs evidence")
    weights = weights_of_step(release, command.step)
    return facts.WeightsSet(release=release.release, step=command.step, weights=weights, judgement=command.judgement)


def _forward_refused(state: ModelState, release: resources.Release, from_pause: bool = False) -> Refused | None:
    if release.phase == resources.PHASE_REQUESTED:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "a release gets traffic only after it has begun"
        )
    if release.phase not in _MOVING_UP:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "weights can rise only while preparing or stepping"
        )
    if release.paused and not from_pause:
        return illegal(f"{in_words(release.name)} is paused: {release.paused_reason}", _PAUSE_RULE)
    if not release.candidate_ready:
        return illegal(f"{in_words(release.name)} is not ready", "a candidate gets traffic only after it is loaded")
    return candidate_refused(state.versions[release.candidate], release.override_quarantine)


def _weights_applied(release: resources.Release, command: commands.ReportWeightsApplied) -> Decision:
    if release.epoch == command.epoch and release.applied_at_ms:
        return None
    if release.phase not in RUNNING or not release.epoch or command.epoch != release.epoch:
        return illegal(f"epoch {command.epoch} is not the present one", "only the present weights can be applied")
    # Stable is served also where no gateway lives: one that starts later reads it in the log.
    if not command.gateways and release.phase != resources.PHASE_ROLLING_BACK:
        return invalid("gateways", [], "weights are applied when at least one gateway serves them")
    return facts.WeightsApplied(release=release.release, epoch=command.epoch, gateways=command.gateways)


def _promote(state: ModelState, release: resources.Release, command: commands.PromoteRelease) -> Decision:
    by_a_person = command.from_pause and bool(command.reason.strip())
    if release.phase in (resources.PHASE_PROMOTING, resources.PHASE_BAKING, resources.PHASE_COMPLETED):
        return _promote_again(state, release, command) if by_a_person else None
    refused = going_nowhere(release) or _forward_refused(state, release, by_a_person)
    if refused is not None:
        return refused
    if (
        release.strategy == configuration.STRATEGY_CANARY
        and release.stable
        and command.judgement.verdict != facts.VERDICT_PASS
        and not by_a_person
    ):
        return illegal(
            f"{in_words(release.name)} has no PASS", "a canary is promoted after a PASS, or by a person with a reason"
        )
    return facts.PromotionStarted(
        release=release.release,
        weights=[facts.Weight(version=release.candidate, weight_bps=FULL_WEIGHT_BPS)],
        judgement=command.judgement,
        reason=command.reason,
    )


def _promote_again(state: ModelState, release: resources.Release, command: commands.PromoteRelease) -> Decision:
    """A person's promotion of a version that has all traffic already: it ends a pause in the bake, and nothing else."""
    if release.phase == resources.PHASE_BAKING and release.paused:
        refused = candidate_refused(state.versions[release.candidate], release.override_quarantine)
        if refused is not None:
            return refused
        return facts.ReleaseCompleted(release=release.release, judgement=command.judgement, reason=command.reason)
    return illegal(
        f"{in_words(release.name)} is {phase_name(release)}", f"v{release.candidate} has all traffic already"
    )


def _complete(state: ModelState, release: resources.Release, command: commands.CompleteRelease) -> Decision:
    if release.phase == resources.PHASE_COMPLETED:
        return None
    if release.phase != resources.PHASE_BAKING:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "a release can complete only after its bake"
        )
    if release.paused:
        return illegal(f"{in_words(release.name)} is paused: {release.paused_reason}", _PAUSE_RULE)
    refused = candidate_refused(state.versions[release.candidate], release.override_quarantine)
    if refused is not None:
        return refused
    return facts.ReleaseCompleted(release=release.release, judgement=command.judgement)


def _resume(state: ModelState, release: resources.Release, command: commands.ResumeRelease) -> Decision:
    if has_fallen_back(release):
        refused = candidate_refused(state.versions[release.candidate], release.override_quarantine)
        if refused is not None:
            return refused
    return resume(release, command)


def _roll_back(release: resources.Release, command: commands.RollBackRelease) -> Decision:
    if release.phase in (resources.PHASE_ROLLING_BACK, resources.PHASE_ROLLED_BACK):
        # A person's reason would be lost without a word.
        by_a_person = command.cause == facts.ROLLBACK_CAUSE_ABORTED and command.reason
        return going_nowhere(release) if by_a_person else None
    if release.phase == resources.PHASE_COMPLETED:
        return illegal(f"{in_words(release.name)} is {phase_name(release)}", "undo a release that has completed")
    if release.phase in TERMINAL:
        return going_nowhere(release)
    if release.phase == resources.PHASE_REQUESTED:
        return facts.ReleaseRejected(release=release.release, reason=command.reason or "aborted before it began")
    weights = [facts.Weight(version=release.stable, weight_bps=FULL_WEIGHT_BPS)] if release.stable else []
    return facts.RollbackStarted(
        release=release.release,
        cause=command.cause or facts.ROLLBACK_CAUSE_ABORTED,
        reason=command.reason,
        weights=weights,
        judgement=command.judgement,
    )


def _finish_rollback(release: resources.Release) -> Decision:
    if release.phase == resources.PHASE_ROLLED_BACK:
        return None
    if release.phase != resources.PHASE_ROLLING_BACK or not release.applied_at_ms:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "a rollback ends only when its weights are applied"
        )
    return facts.ReleaseRolledBack(release=release.release)


def _supersede(state: ModelState, release: resources.Release, command: commands.SupersedeRelease) -> Decision:
    if release.phase == resources.PHASE_SUPERSEDED:
        return None
    newer = state.releases.get(command.by)
    if newer is None or newer.release <= release.release or newer.environment != release.environment:
        return invalid("by", command.by, "a release can be superseded only by a newer one in its environment")
    if release.phase != resources.PHASE_REQUESTED:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "only a release that has not begun can be superseded"
        )
    reason = f"{in_words(newer.name)} (v{newer.candidate}) took its place"
    return facts.ReleaseSuperseded(release=release.release, by=command.by, reason=reason)


def _undo(state: ModelState, release: resources.Release, command: commands.UndoRelease) -> Decision:
    live = state.model.live.get(release.environment, 0)
    if release.phase != resources.PHASE_COMPLETED:
        rule = "abort a release that has not completed" if is_active(release) else "it has changed nothing"
        return illegal(f"{in_words(release.name)} is {phase_name(release)}, so it cannot be undone", rule)
    if live != release.candidate:
        shown = f"v{live} is live, and {in_words(release.name)} released v{release.candidate}"
        return illegal(shown, "only the release of the live version can be undone")
    if not release.stable:
        return illegal(f"{in_words(release.name)} had no stable version", "an undo needs a version to go back to")
    for other in state.releases.values():
        if other.undo_of == release.release and is_active(other):
            rule = "a release can be undone only once"
            return Refused(
                ALREADY_EXISTS, rule, f"{in_words(other.name)} undoes {in_words(release.name)} already", "release"
            )
    refused = candidate_refused(state.versions[release.stable], override_quarantine=True)
    if refused is not None:
        return refused
    number = len(state.releases) + 1
    return facts.ReleaseRequested(
        release=number,
        environment=release.environment,
        candidate=release.stable,
        strategy=configuration.STRATEGY_DIRECT,
        policy=release.policy,
        policy_sha256=release.policy_sha256,
        salt=f"{state.name}/{number}",
        reason=command.reason or f"undo of {in_words(release.name)}",
        undo_of=release.release,
        override_quarantine=True,
    )
