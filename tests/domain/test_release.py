"""The release axis: forward on evidence, back at once."""

from collections.abc import Callable

import pytest

from headgate.domain.refusal import Refused
from headgate.v1 import commands_pb2 as k
from headgate.v1 import configuration_pb2 as c
from headgate.v1 import facts_pb2 as f
from headgate.v1 import resources_pb2 as r
from tests.domain.scenario import (
    PASS,
    POLICY,
    PRODUCTION,
    History,
    applied,
    baking,
    built,
    canary,
    completed,
    gate,
    given,
    one_live,
    passed,
    promoting,
    ready,
    requested,
    started,
    stepping,
    weights,
)

FREEZE = r.Freeze(freeze="holidays", reason="holidays", from_ms=50, until_ms=150)
ALL_TO_2 = weights(v2=10_000)


def start(candidate: int, **fields: object) -> k.StartRelease:
    return k.StartRelease(environment=PRODUCTION, candidate=candidate, policy=POLICY, **fields)  # type: ignore[arg-type]


def asked(past: History, command: k.StartRelease) -> f.ReleaseRequested:
    decision = past.when(command).decision
    assert isinstance(decision, f.ReleaseRequested), decision
    return decision


def queued() -> History:
    return one_live().and_given(requested(2, 2))


def test_a_passed_version_is_released_under_the_policy_given_with_the_request() -> None:
    fact = asked(one_live(), start(2))
    assert (fact.release, fact.candidate, fact.strategy) == (2, 2, c.STRATEGY_CANARY)
    assert fact.policy == POLICY
    assert fact.salt == "fraud/2"


def test_the_first_version_goes_direct_whatever_was_asked() -> None:
    assert asked(given(*passed()), start(1, strategy=c.STRATEGY_CANARY)).strategy == c.STRATEGY_DIRECT


def test_a_version_queued_behind_the_first_release_keeps_its_canary() -> None:
    past = given(*passed(1), *passed(2)).and_given(requested(1, 1, c.STRATEGY_DIRECT), started(1))
    assert asked(past, start(2)).strategy == c.STRATEGY_CANARY


@pytest.mark.parametrize("facts", [built(), [*built(), gate(passed=False)], [*built(), gate(approvals=1)]])
def test_a_version_without_a_passing_verdict_is_not_released(facts: list[object]) -> None:
    given(*facts).when(start(1)).then_refused("gate-not-met")


@pytest.mark.parametrize(
    "facts",
    [
        [*built(), gate(passed=False), f.GateWaived(version=1)],
        [*built(), gate(approvals=1), f.ApprovalGranted(version=1)],
    ],
)
def test_a_waived_or_approved_version_is_released(facts: list[object]) -> None:
    assert asked(given(*facts), start(1)).candidate == 1


def test_a_version_is_released_once_at_a_time() -> None:
    queued().when(start(2)).then_refused("already-exists", "releases/2")


def test_the_live_version_needs_no_release() -> None:
    one_live().when(start(1)).then_refused("illegal-transition", "live")


def test_shadow_is_refused_since_nothing_would_pilot_it() -> None:
    one_live().when(start(2, strategy=c.STRATEGY_SHADOW)).then_refused("invalid-argument", "strategy")


def test_a_release_needs_a_version_and_an_environment_with_a_name() -> None:
    given(*passed()).when(start(9)).then_refused("not-found", "versions/9")
    given(*passed()).when(k.StartRelease(environment="Pro/d", candidate=1)).then_refused("invalid-argument")


def test_an_unsound_policy_is_refused() -> None:
    policy = c.ReleasePolicy(steps=[c.Step(weight_bps=5000), c.Step(weight_bps=500)])
    command = k.StartRelease(environment=PRODUCTION, candidate=2, policy=policy)
    one_live().when(command).then_refused("invalid-argument", "steps")


def test_a_release_remembers_the_version_that_serves_when_it_begins() -> None:
    queued().when(k.BeginRelease(release=2)).then(started(2, stable=1))


def test_one_release_runs_at_a_time_in_an_environment() -> None:
    past = canary().and_given(*passed(3), requested(3, 3))
    past.when(k.BeginRelease(release=3)).then_refused("illegal-transition", "releases/2 is running")


def test_another_environment_does_not_wait() -> None:
    past = canary().and_given(*passed(3), requested(3, 3, environment="staging"))
    past.when(k.BeginRelease(release=3)).then(started(3))


def test_a_waiting_release_is_superseded_by_a_newer_one() -> None:
    past = queued().and_given(*passed(3), requested(3, 3))
    past.when(k.SupersedeRelease(release=2, by=3)).then(f.ReleaseSuperseded(release=2, by=3))
    past.when(k.SupersedeRelease(release=3, by=2)).then_refused("invalid-argument", "newer")
    past.and_given(started(2, 1))
    past.when(k.SupersedeRelease(release=2, by=3)).then_refused("illegal-transition", "not begun")


def test_a_superseded_release_stays_superseded() -> None:
    past = queued().and_given(*passed(3), requested(3, 3), f.ReleaseSuperseded(release=2, by=3))
    past.when(k.SupersedeRelease(release=2, by=3)).then_nothing()
    for command in (k.BeginRelease(release=2), k.PauseRelease(release=2), k.RollBackRelease(release=2)):
        past.when(command).then_refused("illegal-transition")


def test_a_candidate_gets_no_traffic_before_it_is_loaded() -> None:
    past = queued().and_given(started(2, 1))
    past.when(k.SetWeights(release=2, step=0)).then_refused("illegal-transition", "not ready")
    past.when(k.PromoteRelease(release=2, judgement=PASS)).then_refused("illegal-transition", "not ready")
    past.when(k.ReportCandidateReady(release=2)).then_refused("invalid-argument", "gateways")
    past.when(k.ReportCandidateReady(release=2, gateways=["g0"])).then(ready(2))


def test_a_canary_goes_from_its_first_step_to_live() -> None:
    past = canary()
    past.when(k.SetWeights(release=2, step=0)).then(
        f.WeightsSet(release=2, step=0, weights=weights(v1=9500, v2=500), judgement=f.Judgement())
    )
    past = stepping(0)
    past.when(k.SetWeights(release=2, step=1, judgement=PASS)).then(
        f.WeightsSet(release=2, step=1, weights=weights(v1=5000, v2=5000), judgement=PASS)
    )
    past = stepping(1)
    past.when(k.PromoteRelease(release=2, judgement=PASS)).then(
        f.PromotionStarted(release=2, weights=ALL_TO_2, judgement=PASS)
    )
    past = promoting()
    epoch = past.release(2).epoch
    past.when(k.ReportWeightsApplied(release=2, epoch=epoch, gateways=["g0"])).then(
        f.WeightsApplied(release=2, epoch=epoch, gateways=["g0"])
    )
    past = baking()
    assert past.release(2).phase == r.PHASE_BAKING
    past.when(k.CompleteRelease(release=2)).then(f.ReleaseCompleted(release=2, judgement=f.Judgement()))
    past.and_given(f.ReleaseCompleted(release=2))
    assert past.state.model.live[PRODUCTION] == 2
    past.when(k.CompleteRelease(release=2)).then_nothing()


def test_steps_are_taken_in_order_and_each_is_observed() -> None:
    canary().when(k.SetWeights(release=2, step=1, judgement=PASS)).then_refused("invalid-argument", "step")
    unseen = canary().and_given(f.WeightsSet(release=2, step=0, weights=weights(v1=9500, v2=500)))
    unseen.when(k.SetWeights(release=2, step=1, judgement=PASS)).then_refused("illegal-transition", "not applied")
    unseen.when(k.SetWeights(release=2, step=0)).then_nothing()
    stepping(1).when(k.SetWeights(release=2, step=2, judgement=PASS)).then_refused("invalid-argument", "step")


@pytest.mark.parametrize("verdict", [f.VERDICT_UNSPECIFIED, f.VERDICT_FAIL])
def test_no_step_without_evidence(verdict: f.Verdict.ValueType) -> None:
    command = k.SetWeights(release=2, step=1, judgement=f.Judgement(verdict=verdict))
    stepping(0).when(command).then_refused("illegal-transition", "evidence")


def test_a_canary_is_promoted_on_a_pass_or_by_a_person_with_a_reason() -> None:
    past = stepping(0)
    past.when(k.PromoteRelease(release=2)).then_refused("illegal-transition", "PASS")
    past.when(k.PromoteRelease(release=2, reason="holiday sale")).then(
        f.PromotionStarted(release=2, weights=ALL_TO_2, reason="holiday sale", judgement=f.Judgement())
    )


def test_only_the_weights_in_force_are_applied() -> None:
    past = stepping(0)
    past.when(k.ReportWeightsApplied(release=2, epoch=1)).then_refused("illegal-transition", "epoch 1")
    past.when(k.ReportWeightsApplied(release=2, epoch=past.release(2).epoch)).then_nothing()


def test_a_release_without_weights_has_none_to_apply() -> None:
    for past in (queued(), queued().and_given(started(2, 1))):
        past.when(k.ReportWeightsApplied(release=2, epoch=0)).then_refused("illegal-transition", "epoch 0")


def test_only_a_canary_beside_a_stable_version_steps() -> None:
    past = one_live().and_given(requested(2, 2, c.STRATEGY_BLUE_GREEN), started(2, 1), ready(2))
    past.when(k.SetWeights(release=2, step=0)).then_refused("illegal-transition", "steps")
    past.when(k.PromoteRelease(release=2)).then(
        f.PromotionStarted(release=2, weights=ALL_TO_2, judgement=f.Judgement())
    )


def test_a_paused_release_does_not_move_forward() -> None:
    paused = f.ReleasePaused(release=2, reason="looking")
    stepping(0).when(k.PauseRelease(release=2, reason="looking")).then(paused)
    for past, command in (
        (queued(), k.BeginRelease(release=2)),
        (stepping(0), k.SetWeights(release=2, step=1, judgement=PASS)),
        (stepping(1), k.PromoteRelease(release=2, judgement=PASS)),
        (baking(), k.CompleteRelease(release=2)),
    ):
        past.and_given(paused)
        past.when(k.PauseRelease(release=2)).then_nothing()
        past.when(command).then_refused("illegal-transition", "looking")
        past.and_given(f.ReleaseResumed(release=2))
        assert past.when(command).decision is not None


def test_a_resumed_step_is_observed_afresh() -> None:
    past = stepping(0)
    before = past.release(2).applied_at_ms
    past.and_given(f.ReleasePaused(release=2, reason="looking"), f.ReleaseResumed(release=2))
    assert past.release(2).applied_at_ms > before
    past.when(k.ResumeRelease(release=2)).then_nothing()


@pytest.mark.parametrize("past", [queued().and_given(started(2, 1)), canary(), stepping(0), promoting(), baking()])
def test_a_running_release_rolls_back_from_every_phase_even_in_a_freeze(past: History) -> None:
    past.when(k.RollBackRelease(release=2, reason="errors"), freeze=FREEZE).then(
        f.RollbackStarted(
            release=2,
            cause=f.ROLLBACK_CAUSE_ABORTED,
            reason="errors",
            weights=weights(v1=10_000),
            judgement=f.Judgement(),
        )
    )


@pytest.mark.parametrize(
    ("make", "command"),
    [
        (queued, k.BeginRelease(release=2)),
        (canary, k.SetWeights(release=2, step=0)),
        (lambda: stepping(1), k.PromoteRelease(release=2, judgement=PASS)),
        (lambda: stepping(1), k.PromoteRelease(release=2, reason="please")),
    ],
)
def test_a_freeze_holds_forward_moves_while_it_lasts(make: Callable[[], History], command: object) -> None:
    make().when(command, at_ms=50, freeze=FREEZE).then_refused("frozen", "holidays")
    assert make().when(command, at_ms=150, freeze=FREEZE).decision is not None
    make().when(k.PauseRelease(release=2, reason="r"), freeze=FREEZE).then(f.ReleasePaused(release=2, reason="r"))


def test_a_paused_release_rolls_back_and_is_no_longer_paused() -> None:
    past = stepping(0).and_given(f.ReleasePaused(release=2, reason="r"))
    past.and_given(f.RollbackStarted(release=2, cause=f.ROLLBACK_CAUSE_ABORTED, weights=weights(v1=10_000)))
    assert not past.release(2).paused
    past.when(k.RollBackRelease(release=2)).then_nothing()
    past.when(k.PauseRelease(release=2)).then_refused("illegal-transition", "ended")


def test_a_rollback_ends_when_every_gateway_has_applied_it() -> None:
    past = baking().and_given(f.RollbackStarted(release=2, weights=weights(v1=10_000)))
    past.when(k.FinishRollback(release=2)).then_refused("illegal-transition", "applied")
    applied(past, 2)
    past.when(k.FinishRollback(release=2)).then(f.ReleaseRolledBack(release=2))
    past.and_given(f.ReleaseRolledBack(release=2))
    past.when(k.FinishRollback(release=2)).then_nothing()
    assert past.state.model.live[PRODUCTION] == 1


def test_the_candidate_gets_nothing_more_once_a_rollback_started() -> None:
    past = stepping(1).and_given(f.RollbackStarted(release=2, weights=weights(v1=10_000)))
    past.when(k.SetWeights(release=2, step=2, judgement=PASS)).then_refused("illegal-transition", "rolling back")
    past.when(k.PromoteRelease(release=2, reason="no, go on")).then_refused("illegal-transition", "rolling back")


def test_the_first_release_rolls_back_to_nothing() -> None:
    past = given(*passed()).and_given(requested(1, 1, c.STRATEGY_DIRECT), started(1), ready(1))
    decision = past.when(k.RollBackRelease(release=1)).decision
    assert isinstance(decision, f.RollbackStarted)
    assert not decision.weights


def test_a_waiting_release_is_rejected_instead_of_rolled_back() -> None:
    past = queued()
    past.when(k.RollBackRelease(release=2, reason="wrong one")).then(f.ReleaseRejected(release=2, reason="wrong one"))
    past.and_given(f.ReleaseRejected(release=2, reason="wrong one"))
    past.when(k.RollBackRelease(release=2)).then_refused("illegal-transition", "ended")


@pytest.mark.parametrize("cause", [f.ROLLBACK_CAUSE_VERDICT, f.ROLLBACK_CAUSE_REFLEX])
def test_a_candidate_that_failed_on_evidence_is_quarantined(cause: f.RollbackCause.ValueType) -> None:
    past = stepping(0).and_given(f.RollbackStarted(release=2, cause=cause, weights=weights(v1=10_000)))
    assert past.version(2).quarantined
    assert past.version(2).label == "quarantined"


@pytest.mark.parametrize("cause", [f.ROLLBACK_CAUSE_ABORTED, f.ROLLBACK_CAUSE_NOT_READY])
def test_a_candidate_that_was_only_stopped_is_not_quarantined(cause: f.RollbackCause.ValueType) -> None:
    past = stepping(0).and_given(f.RollbackStarted(release=2, cause=cause, weights=weights(v1=10_000)))
    assert not past.version(2).quarantined


def test_a_quarantined_version_is_released_by_override_only() -> None:
    past = one_live().and_given(f.CandidateQuarantined(version=2, reason="bias"))
    past.when(start(2)).then_refused("illegal-transition", "override")
    assert asked(past, start(2, override_quarantine=True)).candidate == 2
    past.and_given(f.QuarantineLifted(version=2))
    assert asked(past, start(2)).candidate == 2


def test_a_candidate_quarantined_while_it_waits_does_not_begin() -> None:
    past = queued().and_given(f.CandidateQuarantined(version=2, reason="bias"))
    rejected = f.ReleaseRejected(release=2, reason="models/fraud/versions/2 is quarantined")
    past.when(k.BeginRelease(release=2)).then(rejected)
    past.and_given(rejected).when(k.BeginRelease(release=2)).then_refused("illegal-transition", "rejected")


@pytest.mark.parametrize("past", [canary(), stepping(0), baking()])
def test_a_candidate_quarantined_on_its_way_gets_no_more_traffic_and_goes_back(past: History) -> None:
    past.and_given(f.CandidateQuarantined(version=2))
    step = past.release(2).step + 1
    forward = [
        k.SetWeights(release=2, step=step, judgement=PASS),
        k.PromoteRelease(release=2, reason="a person"),
        k.CompleteRelease(release=2),
    ]
    decisions = [past.when(command).decision for command in forward]
    assert all(decision is None or isinstance(decision, Refused) for decision in decisions)
    assert any(isinstance(decision, Refused) and "quarantined" in decision.message for decision in decisions)
    assert isinstance(past.when(k.RollBackRelease(release=2)).decision, f.RollbackStarted)


def test_a_quarantine_lifted_in_time_does_not_stop_a_waiting_release() -> None:
    past = queued().and_given(f.CandidateQuarantined(version=2), f.QuarantineLifted(version=2))
    past.when(k.BeginRelease(release=2)).then(started(2, stable=1))


def test_an_override_holds_until_the_release_begins_whenever_the_quarantine_came() -> None:
    quarantined = f.CandidateQuarantined(version=2)
    before = one_live().and_given(quarantined)
    before.and_given(asked(before, start(2, override_quarantine=True)))
    before.when(k.BeginRelease(release=2)).then(started(2, stable=1))
    after = one_live()
    after.and_given(asked(after, start(2, override_quarantine=True)), quarantined)
    after.when(k.BeginRelease(release=2)).then(started(2, stable=1))
    assert after.release(2).override_quarantine


def test_a_request_from_before_the_field_was_an_override_when_its_candidate_was_quarantined() -> None:
    past = one_live().and_given(f.CandidateQuarantined(version=2), requested(2, 2))
    past.when(k.BeginRelease(release=2)).then(started(2, stable=1))


def test_an_archived_version_is_not_released() -> None:
    one_live().and_given(f.VersionArchived(version=2)).when(start(2)).then_refused("illegal-transition", "kept")


def test_an_undo_requests_a_direct_release_of_the_version_before() -> None:
    past = completed(one_live(), 2, 2, stable=1)
    fact = past.when(k.UndoRelease(release=2)).decision
    assert isinstance(fact, f.ReleaseRequested)
    assert (fact.candidate, fact.undo_of, fact.strategy) == (1, 2, c.STRATEGY_DIRECT)
    past.when(k.UndoRelease(release=1)).then_refused("illegal-transition", "live")


def test_an_undo_needs_something_to_go_back_to_and_a_free_environment() -> None:
    one_live().when(k.UndoRelease(release=1)).then_refused("illegal-transition", "no stable")
    busy = completed(one_live(), 2, 2, stable=1).and_given(*passed(3), requested(3, 3))
    busy.when(k.UndoRelease(release=2)).then_refused("illegal-transition", "under way")


def test_an_undo_takes_back_to_a_quarantined_version_too() -> None:
    past = completed(one_live(), 2, 2, stable=1).and_given(f.CandidateQuarantined(version=1))
    fact = past.when(k.UndoRelease(release=2)).decision
    assert isinstance(fact, f.ReleaseRequested)
    past.and_given(fact).when(k.BeginRelease(release=3)).then(started(3, stable=2))


def test_a_release_that_does_not_exist_is_not_found() -> None:
    one_live().when(k.PauseRelease(release=9)).then_refused("not-found", "releases/9")
