"""What happens to the traffic of a release while it is paused, and who may change its pause."""

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import POLICY, History, applied, baking, canary, promoting, stepping, weights

FREEZE = resources.Freeze(freeze="f", reason="holidays", from_ms=0, until_ms=1_000)
STEP_BPS = POLICY.steps[1].weight_bps
AT_FAULT = commands.PauseRelease(release=2, reason="inconclusive", at_fault=True)
TOO_LATE = commands.PauseRelease(release=2, reason="inconclusive", at_fault=True, late_answers=True)


def under(past: History, paused_weight_bps: int | None) -> History:
    """The history, under a policy with this weight for a pause."""
    if paused_weight_bps is not None:
        past.release(2).policy.paused_weight_bps = paused_weight_bps
    return past


def weights_of_pause(past: History, command: commands.PauseRelease) -> list[facts.Weight]:
    decided = past.when(command).decision
    assert isinstance(decided, facts.ReleasePaused)
    return list(decided.weights)


@pytest.mark.parametrize(
    ("paused_weight_bps", "command", "candidate_bps"),
    [
        (None, AT_FAULT, None),
        (None, TOO_LATE, 0),
        (0, AT_FAULT, 0),
        (0, TOO_LATE, 0),
        (100, AT_FAULT, 100),
        (100, TOO_LATE, 100),
        (STEP_BPS, TOO_LATE, None),
        (10_000, AT_FAULT, None),
    ],
)
def test_a_release_paused_by_the_deployer_falls_back_as_its_policy_says(
    paused_weight_bps: int | None, command: commands.PauseRelease, candidate_bps: int | None
) -> None:
    both = {} if candidate_bps is None else {"v1": 10_000 - candidate_bps, "v2": candidate_bps}
    expected = weights(**{version: share for version, share in both.items() if share})
    assert weights_of_pause(under(stepping(1), paused_weight_bps), command) == expected


def test_a_release_that_a_person_pauses_stays_at_its_weight() -> None:
    by_hand = commands.PauseRelease(release=2, reason="lunch")
    assert weights_of_pause(under(stepping(1), 0), by_hand) == []


@pytest.mark.parametrize("past", [canary(), promoting(), baking()])
def test_a_release_falls_back_only_in_a_step(past: History) -> None:
    assert weights_of_pause(under(past, 0), TOO_LATE) == []


def fallen_back() -> History:
    paused = facts.ReleasePaused(release=2, reason="inconclusive", weights=weights(v1=10_000))
    return stepping(1).and_given(paused)


def test_the_weights_of_a_pause_have_an_epoch_of_their_own_and_are_applied_like_others() -> None:
    past = fallen_back()
    release = past.release(2)
    assert (list(release.weights), release.epoch, release.applied_at_ms) == (weights(v1=10_000), past.sequence, 0)
    report = commands.ReportWeightsApplied(release=2, epoch=release.epoch, gateways=["g0"])
    past.when(report).then(facts.WeightsApplied(release=2, epoch=release.epoch, gateways=["g0"]))


@pytest.mark.parametrize("is_applied", [False, True])
def test_a_release_that_fell_back_resumes_at_the_weight_of_its_step_and_is_observed_anew(is_applied: bool) -> None:
    past = applied(fallen_back(), 2) if is_applied else fallen_back()
    resumed = past.when(commands.ResumeRelease(release=2, reason="faster now")).decision
    of_step = weights(v1=10_000 - STEP_BPS, v2=STEP_BPS)
    assert resumed == facts.ReleaseResumed(release=2, reason="faster now", weights=of_step)
    release = past.and_given(resumed).release(2)
    assert (list(release.weights), release.epoch, release.applied_at_ms) == (of_step, past.sequence, 0)
    assert (release.paused, release.step) == (False, 1)


def test_a_freeze_lets_no_release_return_to_the_weight_of_its_step() -> None:
    resume = commands.ResumeRelease(release=2)
    fallen_back().when(resume, freeze=FREEZE).then_refused("frozen", "holidays")
    at_its_weight = stepping(1).and_given(facts.ReleasePaused(release=2, reason="inconclusive"))
    at_its_weight.when(resume, freeze=FREEZE).then(facts.ReleaseResumed(release=2))


def test_a_person_promotes_or_rolls_back_a_release_that_fell_back() -> None:
    promote = commands.PromoteRelease(release=2, reason="known good", from_pause=True)
    promoted = fallen_back().when(promote).decision
    assert isinstance(promoted, facts.PromotionStarted)
    assert list(promoted.weights) == weights(v2=10_000)
    assert isinstance(fallen_back().when(commands.RollBackRelease(release=2)).decision, facts.RollbackStarted)


def test_a_person_gives_a_paused_release_another_reason_and_the_pause_becomes_that_persons() -> None:
    past = under(fallen_back(), 0)
    by_hand = commands.PauseRelease(release=2, reason="the team looks at it")
    taken_over = past.when(by_hand, at_ms=500).decision
    until_ms = 500 + POLICY.hold_deadline_ms
    assert taken_over == facts.ReleasePaused(release=2, reason="the team looks at it", superseded_from_ms=until_ms)
    past.and_given(taken_over).when(by_hand).then_nothing()
    past.when(AT_FAULT).then_nothing()
    resumed = past.when(commands.ResumeRelease(release=2)).decision
    assert isinstance(resumed, facts.ReleaseResumed)
    assert list(resumed.weights) == weights(v1=10_000 - STEP_BPS, v2=STEP_BPS)


def test_a_release_that_is_not_paused_is_not_resumed_for_a_reason() -> None:
    rule = "only a paused release can be resumed"
    stepping(0).when(commands.ResumeRelease(release=2, reason="go")).then_refused("illegal-transition", rule)
    stepping(0).when(commands.ResumeRelease(release=2)).then_nothing()
