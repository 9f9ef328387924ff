"""The pause of a release: who may replace it meanwhile, and to which weight it falls back."""

from headgate.domain import policy as policies
from headgate.domain.names import in_words
from headgate.domain.phases import going_nowhere
from headgate.domain.refusal import Refused, illegal
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources


def pause(
    release: resources.Release, command: commands.PauseRelease, at_ms: int
) -> facts.ReleasePaused | Refused | None:
    """The fact that the release pauses, a refusal, or None when it is paused for this reason already.

    A person may give a paused release another reason. Then the pause is that person's, and its weights stay.
    """
    if (refused := going_nowhere(release)) is not None:
        return refused
    if release.paused and (command.at_fault or command.reason in ("", release.paused_reason)):
        return None
    return facts.ReleasePaused(
        release=release.release,
        reason=command.reason or "paused by hand",
        superseded_from_ms=_superseded_from_ms(release.policy, command.at_fault, at_ms),
        weights=_weights_of_pause(release, command),
    )


def resume(release: resources.Release, command: commands.ResumeRelease) -> facts.ReleaseResumed | Refused | None:
    """The fact that the release goes on at the weight of its step, a refusal, or None when it goes on already."""
    if (refused := going_nowhere(release)) is not None:
        return refused
    if not release.paused:
        rule = "only a paused release can be resumed"
        return illegal(f"{in_words(release.name)} is not paused", rule) if command.reason else None
    weights = weights_of_step(release, release.step) if has_fallen_back(release) else []
    return facts.ReleaseResumed(release=release.release, reason=command.reason, weights=weights)


def has_fallen_back(release: resources.Release) -> bool:
    """Whether the candidate has less traffic than its step says, because the release is paused."""
    if release.phase != resources.PHASE_STEPPING or not release.paused:
        return False
    return candidate_bps(release) < release.policy.steps[release.step].weight_bps


def weights_of_step(release: resources.Release, step: int) -> list[facts.Weight]:
    """The weights of both versions at a step of the canary."""
    return _shared(release, release.policy.steps[step].weight_bps)


def candidate_bps(release: resources.Release) -> int:
    """The candidate's present share of the traffic, in basis points."""
    return sum(weight.weight_bps for weight in release.weights if weight.version == release.candidate)


def _shared(release: resources.Release, share_bps: int) -> list[facts.Weight]:
    """The weights of both versions; of stable alone when the candidate gets nothing."""
    shares = ((release.stable, FULL_WEIGHT_BPS - share_bps), (release.candidate, share_bps))
    return [facts.Weight(version=version, weight_bps=share) for version, share in shares if share]


def _weights_of_pause(release: resources.Release, command: commands.PauseRelease) -> list[facts.Weight]:
    """The weights during a pause by the deployer in a step; none when the present ones stay.

    Without a weight in the policy they stay, unless the candidate was too slow for its callers. Others would wait for
    late answers as well.
    """
    if release.phase != resources.PHASE_STEPPING or not command.at_fault:
        return []
    if release.policy.HasField("paused_weight_bps"):
        fallback_bps = release.policy.paused_weight_bps
    elif command.late_answers:
        fallback_bps = 0
    else:
        return []
    return _shared(release, fallback_bps) if fallback_bps < candidate_bps(release) else []


def _superseded_from_ms(policy: configuration.ReleasePolicy, at_fault: bool, at_ms: int) -> int:
    """The time from which a newer release replaces a paused one; 0 for never.

    It is the present time if the deployer paused the release because it cannot go on. Otherwise it is after the hold
    deadline of the policy.
    """
    if policy.paused_release == configuration.PAUSED_RELEASE_STAYS:
        return 0
    return at_ms if at_fault else at_ms + policies.resolve(policy).hold_deadline_ms
