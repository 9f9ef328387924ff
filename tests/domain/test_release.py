"""The release axis: forward only on evidence, back at any time."""

from collections.abc import Callable

import pytest

from headgate.domain.refusal import Refused
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
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

FREEZE = resources.Freeze(freeze="holidays", reason="nobody is here", from_ms=50, until_ms=150)
ALL_TO_2 = weights(v2=10_000)


def start(candidate: int, **fields: object) -> commands.StartRelease:
    return commands.StartRelease(environment=PRODUCTION, candidate=candidate, policy=POLICY, **fields)  # type: ignore[arg-type]


def request_of(past: History, command: commands.StartRelease) -> facts.ReleaseRequested:
    decision = past.when(command).decision
    assert isinstance(decision, facts.ReleaseRequested), decision
    return decision


def queued() -> History:
    return one_live().and_given(requested(2, 2))


def test_a_version_that_passed_is_released_under_the_policy_of_its_request() -> None:
    fact = request_of(one_live(), start(2))
    assert (fact.release, fact.candidate, fact.strategy) == (2, 2, configuration.STRATEGY_CANARY)
    assert fact.policy == POLICY
    assert fact.salt == "fraud/2"


def test_the_first_version_is_released_directly_under_any_strategy() -> None:
    assert (
        request_of(given(*passed()), start(1, strategy=configuration.STRATEGY_CANARY)).strategy
        == configuration.STRATEGY_DIRECT
    )


def test_a_version_that_waits_for_the_first_release_keeps_its_canary() -> None:
    past = given(*passed(1), *passed(2)).and_given(requested(1, 1, configuration.STRATEGY_DIRECT), started(1))
    assert request_of(past, start(2)).strategy == configuration.STRATEGY_CANARY


@pytest.mark.parametrize("history", [built(), [*built(), gate(passed=False)], [*built(), gate(approvals=1)]])
def test_a_version_without_a_passing_verdict_is_not_released(history: list[object]) -> None:
    given(*history).when(start(1)).then_refused("gate-not-met")


@pytest.mark.parametrize(
    "history",
    [
        [*built(), gate(passed=False), facts.GateWaived(version=1)],
        [*built(), gate(approvals=1), facts.ApprovalGranted(version=1)],
    ],
)
def test_a_waived_or_approved_version_is_released(history: list[object]) -> None:
    assert request_of(given(*history), start(1)).candidate == 1


def test_a_version_has_one_release_at_a_time() -> None:
    queued().when(start(2)).then_refused("already-exists", "release 2 of fraud")


def test_the_live_version_needs_no_release() -> None:
    one_live().when(start(1)).then_refused("illegal-transition", "live")


def test_the_strategy_shadow_is_refused() -> None:
    one_live().when(start(2, strategy=configuration.STRATEGY_SHADOW)).then_refused("invalid-argument", "strategy")


@pytest.mark.parametrize("strategy", [-1, 5, 99])
def test_a_strategy_that_does_not_exist_is_refused_with_its_number(strategy: int) -> None:
    decided = one_live().when(start(2, strategy=strategy))
    decided.then_refused("invalid-argument", f"strategy is {strategy}")


def test_a_release_needs_an_existing_version_and_a_valid_environment_name() -> None:
    given(*passed()).when(start(9)).then_refused("not-found", "version 9 of fraud")
    given(*passed()).when(commands.StartRelease(environment="Pro/d", candidate=1)).then_refused("invalid-argument")


def test_an_invalid_policy_is_refused() -> None:
    policy = configuration.ReleasePolicy(
        steps=[configuration.Step(weight_bps=5000), configuration.Step(weight_bps=500)]
    )
    command = commands.StartRelease(environment=PRODUCTION, candidate=2, policy=policy)
    one_live().when(command).then_refused("invalid-argument", "steps")


def test_a_release_records_the_version_that_is_live_when_it_begins() -> None:
    queued().when(commands.BeginRelease(release=2)).then(started(2, stable=1))


def test_one_release_runs_at_a_time_in_an_environment() -> None:
    past = canary().and_given(*passed(3), requested(3, 3))
    past.when(commands.BeginRelease(release=3)).then_refused("illegal-transition", "release 2 of fraud is running")


def test_a_release_does_not_wait_for_one_in_another_environment() -> None:
    past = canary().and_given(*passed(3), requested(3, 3, environment="staging"))
    past.when(commands.BeginRelease(release=3)).then(started(3))


def test_a_waiting_release_is_superseded_by_a_newer_one() -> None:
    past = queued().and_given(*passed(3), requested(3, 3))
    superseded = facts.ReleaseSuperseded(release=2, by=3, reason="release 3 of fraud (v3) took its place")
    past.when(commands.SupersedeRelease(release=2, by=3)).then(superseded)
    past.when(commands.SupersedeRelease(release=3, by=2)).then_refused("invalid-argument", "newer")
    past.and_given(started(2, 1))
    past.when(commands.SupersedeRelease(release=2, by=3)).then_refused("illegal-transition", "not begun")


def test_the_page_of_a_superseded_release_names_the_one_that_took_its_place() -> None:
    past = queued().and_given(*passed(3), requested(3, 3))
    decided = past.when(commands.SupersedeRelease(release=2, by=3)).decision
    shown = past.and_given(decided).state.releases[2]
    assert shown.reason == "release 3 of fraud (v3) took its place"


def test_a_superseded_release_stays_superseded() -> None:
    past = queued().and_given(*passed(3), requested(3, 3), facts.ReleaseSuperseded(release=2, by=3))
    past.when(commands.SupersedeRelease(release=2, by=3)).then_nothing()
    for command in (
        commands.BeginRelease(release=2),
        commands.PauseRelease(release=2),
        commands.RollBackRelease(release=2),
    ):
        past.when(command).then_refused("illegal-transition")


def test_a_candidate_gets_no_traffic_before_it_is_loaded() -> None:
    past = queued().and_given(started(2, 1))
    past.when(commands.SetWeights(release=2, step=0)).then_refused("illegal-transition", "not ready")
    past.when(commands.PromoteRelease(release=2, judgement=PASS)).then_refused("illegal-transition", "not ready")
    past.when(commands.ReportCandidateReady(release=2)).then_refused("invalid-argument", "gateways")
    past.when(commands.ReportCandidateReady(release=2, gateways=["g0"])).then(ready(2))


def test_a_canary_moves_from_its_first_step_until_it_is_live() -> None:
    past = canary()
    past.when(commands.SetWeights(release=2, step=0)).then(
        facts.WeightsSet(release=2, step=0, weights=weights(v1=9500, v2=500), judgement=facts.Judgement())
    )
    past = stepping(0)
    past.when(commands.SetWeights(release=2, step=1, judgement=PASS)).then(
        facts.WeightsSet(release=2, step=1, weights=weights(v1=5000, v2=5000), judgement=PASS)
    )
    past = stepping(1)
    past.when(commands.PromoteRelease(release=2, judgement=PASS)).then(
        facts.PromotionStarted(release=2, weights=ALL_TO_2, judgement=PASS)
    )
    past = promoting()
    epoch = past.release(2).epoch
    past.when(commands.ReportWeightsApplied(release=2, epoch=epoch, gateways=["g0"])).then(
        facts.WeightsApplied(release=2, epoch=epoch, gateways=["g0"])
    )
    past = baking()
    assert past.release(2).phase == resources.PHASE_BAKING
    past.when(commands.CompleteRelease(release=2)).then(facts.ReleaseCompleted(release=2, judgement=facts.Judgement()))
    past.and_given(facts.ReleaseCompleted(release=2))
    assert past.state.model.live[PRODUCTION] == 2
    past.when(commands.CompleteRelease(release=2)).then_nothing()


def test_steps_come_in_order_and_each_is_observed() -> None:
    canary().when(commands.SetWeights(release=2, step=1, judgement=PASS)).then_refused("invalid-argument", "step")
    unobserved = canary().and_given(facts.WeightsSet(release=2, step=0, weights=weights(v1=9500, v2=500)))
    unobserved.when(commands.SetWeights(release=2, step=1, judgement=PASS)).then_refused(
        "illegal-transition", "not applied"
    )
    unobserved.when(commands.SetWeights(release=2, step=0)).then_nothing()
    stepping(1).when(commands.SetWeights(release=2, step=2, judgement=PASS)).then_refused("invalid-argument", "step")


@pytest.mark.parametrize("verdict", [facts.VERDICT_UNSPECIFIED, facts.VERDICT_FAIL])
def test_a_step_needs_evidence(verdict: facts.Verdict.ValueType) -> None:
    command = commands.SetWeights(release=2, step=1, judgement=facts.Judgement(verdict=verdict))
    stepping(0).when(command).then_refused("illegal-transition", "evidence")


def test_a_canary_is_promoted_after_a_pass_or_by_a_person_with_a_reason() -> None:
    past = stepping(0)
    past.when(commands.PromoteRelease(release=2)).then_refused("illegal-transition", "PASS")
    past.when(commands.PromoteRelease(release=2, reason="a worker says so")).then_refused("illegal-transition", "PASS")
    past.when(commands.PromoteRelease(release=2, reason="holiday sale", from_pause=True)).then(
        facts.PromotionStarted(release=2, weights=ALL_TO_2, reason="holiday sale", judgement=facts.Judgement())
    )


BY_HAND = commands.PromoteRelease(release=2, reason="known good", from_pause=True)


@pytest.mark.parametrize(
    ("past", "message"),
    [
        (queued(), "is requested: a release gets traffic only after it has begun"),
        (promoting(), "is promoting: v2 has all traffic already"),
        (baking(), "is baking: v2 has all traffic already"),
        (completed(one_live(), 2, 2, stable=1), "is completed: v2 has all traffic already"),
        (stepping(0).and_given(facts.RollbackStarted(release=2)), "is rolling back: a rollback goes on until stable"),
        (queued().and_given(facts.ReleaseRejected(release=2)), "is rejected: a release that has ended cannot change"),
    ],
)
def test_a_promotion_by_a_person_that_changes_nothing_is_refused_with_the_state(past: History, message: str) -> None:
    refused = past.when(BY_HAND).decision
    assert isinstance(refused, Refused)
    assert message in f"{refused.message}: {refused.rule}"


def test_the_deployers_second_promotion_changes_nothing() -> None:
    for past in (promoting(), baking()):
        past.when(commands.PromoteRelease(release=2, judgement=PASS)).then_nothing()


def test_a_person_completes_a_release_that_is_paused_in_its_bake() -> None:
    past = baking().and_given(facts.ReleasePaused(release=2, reason="no data"))
    past.when(commands.PromoteRelease(release=2, reason=" ", from_pause=True)).then_nothing()
    fact = past.when(BY_HAND).decision
    assert fact == facts.ReleaseCompleted(release=2, reason="known good", judgement=facts.Judgement())
    past.and_given(fact)
    assert (past.release(2).phase, past.release(2).paused) == (resources.PHASE_COMPLETED, False)
    assert past.state.model.live["production"] == 2


def test_only_the_present_weights_can_be_applied() -> None:
    past = stepping(0)
    past.when(commands.ReportWeightsApplied(release=2, epoch=1)).then_refused("illegal-transition", "epoch 1")
    past.when(commands.ReportWeightsApplied(release=2, epoch=past.release(2).epoch)).then_nothing()


def test_weights_without_a_gateway_are_not_applied_unless_they_are_those_of_a_rollback() -> None:
    unapplied = commands.ReportWeightsApplied(release=2)
    first_step = facts.WeightsSet(release=2, weights=weights(v1=9_500, v2=500))
    for past in (canary().and_given(first_step), promoting()):
        unapplied.epoch = past.release(2).epoch
        past.when(unapplied).then_refused("invalid-argument", "gateways")
    past = stepping(0).and_given(facts.RollbackStarted(release=2, weights=weights(v1=10_000)))
    unapplied.epoch = past.release(2).epoch
    past.when(unapplied).then(facts.WeightsApplied(release=2, epoch=unapplied.epoch))


def test_a_release_without_weights_cannot_report_them_as_applied() -> None:
    for past in (queued(), queued().and_given(started(2, 1))):
        past.when(commands.ReportWeightsApplied(release=2, epoch=0)).then_refused("illegal-transition", "epoch 0")


def test_only_a_canary_with_a_stable_version_has_steps() -> None:
    past = one_live().and_given(requested(2, 2, configuration.STRATEGY_BLUE_GREEN), started(2, 1), ready(2))
    past.when(commands.SetWeights(release=2, step=0)).then_refused("illegal-transition", "steps")
    past.when(commands.PromoteRelease(release=2)).then(
        facts.PromotionStarted(release=2, weights=ALL_TO_2, judgement=facts.Judgement())
    )


def test_a_paused_release_cannot_move_forward() -> None:
    paused = facts.ReleasePaused(release=2, reason="looking", superseded_from_ms=101)
    stepping(0).when(commands.PauseRelease(release=2, reason="looking")).then(paused)
    for past, command in (
        (queued(), commands.BeginRelease(release=2)),
        (stepping(0), commands.SetWeights(release=2, step=1, judgement=PASS)),
        (stepping(1), commands.PromoteRelease(release=2, judgement=PASS)),
        (baking(), commands.CompleteRelease(release=2)),
    ):
        past.and_given(paused)
        past.when(commands.PauseRelease(release=2)).then_nothing()
        past.when(command).then_refused("illegal-transition", "looking")
        past.and_given(facts.ReleaseResumed(release=2))
        assert past.when(command).decision is not None


def test_the_observation_of_a_step_starts_again_after_a_pause() -> None:
    past = stepping(0)
    before = past.release(2).applied_at_ms
    past.and_given(facts.ReleasePaused(release=2, reason="looking"), facts.ReleaseResumed(release=2))
    assert past.release(2).applied_at_ms > before
    past.when(commands.ResumeRelease(release=2)).then_nothing()


@pytest.mark.parametrize("past", [queued().and_given(started(2, 1)), canary(), stepping(0), promoting(), baking()])
def test_a_running_release_can_roll_back_in_every_phase_even_during_a_freeze(past: History) -> None:
    past.when(commands.RollBackRelease(release=2, reason="errors"), freeze=FREEZE).then(
        facts.RollbackStarted(
            release=2,
            cause=facts.ROLLBACK_CAUSE_ABORTED,
            reason="errors",
            weights=weights(v1=10_000),
            judgement=facts.Judgement(),
        )
    )


@pytest.mark.parametrize(
    ("make", "command"),
    [
        (queued, commands.BeginRelease(release=2)),
        (canary, commands.SetWeights(release=2, step=0)),
        (lambda: stepping(1), commands.PromoteRelease(release=2, judgement=PASS)),
        (lambda: stepping(1), commands.PromoteRelease(release=2, reason="please")),
    ],
)
def test_a_freeze_forbids_forward_moves_while_it_lasts(make: Callable[[], History], command: object) -> None:
    named = "production is frozen until 1970-01-01 00:00:00 UTC by the freeze holidays (nobody is here)"
    make().when(command, at_ms=50, freeze=FREEZE).then_refused("frozen", named)
    assert make().when(command, at_ms=150, freeze=FREEZE).decision is not None
    make().when(commands.PauseRelease(release=2, reason="r"), freeze=FREEZE).then(
        facts.ReleasePaused(release=2, reason="r", superseded_from_ms=101)
    )


def test_a_pause_records_the_time_from_which_a_newer_release_replaces_it() -> None:
    def pause(past: History, **fields: bool) -> int:
        decided = past.when(commands.PauseRelease(release=2, reason="r", **fields), at_ms=500).decision
        assert isinstance(decided, facts.ReleasePaused)
        return decided.superseded_from_ms

    assert pause(stepping(0)) == 500 + POLICY.hold_deadline_ms
    assert pause(stepping(0), at_fault=True) == 500
    stays = stepping(0)
    stays.release(2).policy.paused_release = configuration.PAUSED_RELEASE_STAYS
    assert pause(stays, at_fault=True) == 0


def test_the_end_of_a_pause_clears_that_time() -> None:
    past = stepping(0).and_given(facts.ReleasePaused(release=2, reason="r", superseded_from_ms=7))
    assert past.release(2).superseded_from_ms == 7
    assert past.and_given(facts.ReleaseResumed(release=2)).release(2).superseded_from_ms == 0


def test_a_person_with_a_reason_promotes_a_paused_release() -> None:
    past = stepping(1).and_given(facts.ReleasePaused(release=2, reason="no data"))
    for refused in (
        commands.PromoteRelease(release=2, reason="direct"),
        commands.PromoteRelease(release=2, judgement=PASS, from_pause=True),
    ):
        past.when(refused).then_refused("illegal-transition", "paused: no data")
    fact = past.when(commands.PromoteRelease(release=2, reason="nobody calls it", from_pause=True)).decision
    assert isinstance(fact, facts.PromotionStarted)
    promoted = past.and_given(fact).release(2)
    assert (promoted.phase, promoted.paused, promoted.paused_reason) == (resources.PHASE_PROMOTING, False, "")


def test_a_freeze_does_not_stop_an_undo() -> None:
    past = completed(one_live(), 2, 2, stable=1)
    fact = past.when(commands.UndoRelease(release=2), at_ms=50, freeze=FREEZE).decision
    assert isinstance(fact, facts.ReleaseRequested)
    past.and_given(fact).when(commands.BeginRelease(release=3), at_ms=50, freeze=FREEZE).then(started(3, stable=2))
    past.and_given(started(3, stable=2), ready(3))
    promote = commands.PromoteRelease(release=3, reason="direct")
    assert isinstance(past.when(promote, at_ms=50, freeze=FREEZE).decision, facts.PromotionStarted)


def test_a_paused_release_can_roll_back_and_is_then_no_longer_paused() -> None:
    past = stepping(0).and_given(facts.ReleasePaused(release=2, reason="r"))
    past.and_given(facts.RollbackStarted(release=2, cause=facts.ROLLBACK_CAUSE_ABORTED, weights=weights(v1=10_000)))
    assert not past.release(2).paused
    past.when(commands.RollBackRelease(release=2)).then_nothing()
    past.when(commands.PauseRelease(release=2)).then_refused("illegal-transition", "a rollback goes on")


def test_a_rollback_ends_when_all_gateways_have_applied_it() -> None:
    past = baking().and_given(facts.RollbackStarted(release=2, weights=weights(v1=10_000)))
    past.when(commands.FinishRollback(release=2)).then_refused("illegal-transition", "applied")
    applied(past, 2)
    past.when(commands.FinishRollback(release=2)).then(facts.ReleaseRolledBack(release=2))
    past.and_given(facts.ReleaseRolledBack(release=2))
    past.when(commands.FinishRollback(release=2)).then_nothing()
    assert past.state.model.live[PRODUCTION] == 1


def test_a_candidate_gets_no_traffic_after_its_rollback_has_started() -> None:
    past = stepping(1).and_given(facts.RollbackStarted(release=2, weights=weights(v1=10_000)))
    past.when(commands.SetWeights(release=2, step=2, judgement=PASS)).then_refused("illegal-transition", "rolling back")
    past.when(commands.PromoteRelease(release=2, reason="no, go on")).then_refused("illegal-transition", "rolling back")


def test_a_rollback_of_the_first_release_leaves_no_version() -> None:
    past = given(*passed()).and_given(requested(1, 1, configuration.STRATEGY_DIRECT), started(1), ready(1))
    decision = past.when(commands.RollBackRelease(release=1)).decision
    assert isinstance(decision, facts.RollbackStarted)
    assert not decision.weights


def test_an_abort_of_a_waiting_release_rejects_it() -> None:
    past = queued()
    past.when(commands.RollBackRelease(release=2, reason="wrong one")).then(
        facts.ReleaseRejected(release=2, reason="wrong one")
    )
    past.and_given(facts.ReleaseRejected(release=2, reason="wrong one"))
    past.when(commands.RollBackRelease(release=2)).then_refused("illegal-transition", "ended")


@pytest.mark.parametrize("cause", [facts.ROLLBACK_CAUSE_VERDICT, facts.ROLLBACK_CAUSE_REFLEX])
def test_a_candidate_that_failed_on_evidence_is_quarantined(cause: facts.RollbackCause.ValueType) -> None:
    past = stepping(0).and_given(facts.RollbackStarted(release=2, cause=cause, weights=weights(v1=10_000)))
    assert past.version(2).quarantined
    assert past.version(2).label == "quarantined"


@pytest.mark.parametrize("cause", [facts.ROLLBACK_CAUSE_ABORTED, facts.ROLLBACK_CAUSE_NOT_READY])
def test_a_candidate_that_was_aborted_or_not_ready_is_not_quarantined(cause: facts.RollbackCause.ValueType) -> None:
    past = stepping(0).and_given(facts.RollbackStarted(release=2, cause=cause, weights=weights(v1=10_000)))
    assert not past.version(2).quarantined


def test_a_quarantined_version_is_released_only_with_an_override() -> None:
    past = one_live().and_given(facts.CandidateQuarantined(version=2, reason="bias"))
    past.when(start(2)).then_refused("illegal-transition", "--override-quarantine of `headgate release start`")
    assert request_of(past, start(2, override_quarantine=True)).candidate == 2
    past.and_given(facts.QuarantineLifted(version=2))
    assert request_of(past, start(2)).candidate == 2


def test_a_release_whose_candidate_is_quarantined_does_not_begin() -> None:
    past = queued().and_given(facts.CandidateQuarantined(version=2, reason="bias"))
    rejected = facts.ReleaseRejected(release=2, reason="version 2 of fraud is quarantined")
    past.when(commands.BeginRelease(release=2)).then(rejected)
    past.and_given(rejected).when(commands.BeginRelease(release=2)).then_refused("illegal-transition", "rejected")


@pytest.mark.parametrize("past", [canary(), stepping(0), baking()])
def test_a_release_whose_candidate_is_quarantined_cannot_move_forward_but_can_roll_back(past: History) -> None:
    past.and_given(facts.CandidateQuarantined(version=2))
    step = past.release(2).step + 1
    forward = [
        commands.SetWeights(release=2, step=step, judgement=PASS),
        commands.PromoteRelease(release=2, reason="a person"),
        commands.CompleteRelease(release=2),
    ]
    decisions = [past.when(command).decision for command in forward]
    assert all(decision is None or isinstance(decision, Refused) for decision in decisions)
    assert any(isinstance(decision, Refused) and "quarantined" in decision.message for decision in decisions)
    assert isinstance(past.when(commands.RollBackRelease(release=2)).decision, facts.RollbackStarted)


def test_a_lifted_quarantine_does_not_stop_a_waiting_release() -> None:
    past = queued().and_given(facts.CandidateQuarantined(version=2), facts.QuarantineLifted(version=2))
    past.when(commands.BeginRelease(release=2)).then(started(2, stable=1))


def test_an_override_also_covers_a_quarantine_that_comes_after_the_request() -> None:
    quarantined = facts.CandidateQuarantined(version=2)
    before = one_live().and_given(quarantined)
    before.and_given(request_of(before, start(2, override_quarantine=True)))
    before.when(commands.BeginRelease(release=2)).then(started(2, stable=1))
    after = one_live()
    after.and_given(request_of(after, start(2, override_quarantine=True)), quarantined)
    after.when(commands.BeginRelease(release=2)).then(started(2, stable=1))
    assert after.release(2).override_quarantine


def test_an_older_request_for_a_quarantined_version_counts_as_an_override() -> None:
    past = one_live().and_given(facts.CandidateQuarantined(version=2), requested(2, 2))
    past.when(commands.BeginRelease(release=2)).then(started(2, stable=1))


def test_an_archived_version_and_a_purged_one_are_not_released() -> None:
    archived = one_live().and_given(facts.VersionArchived(version=2))
    archived.when(start(2)).then_refused("illegal-transition", "an archived version cannot be released")
    purged = archived.and_given(facts.VersionPurged(version=2))
    purged.when(start(2)).then_refused("purged", "a purged version cannot be released")


def test_an_undo_requests_a_direct_release_of_the_previous_version() -> None:
    past = completed(one_live(), 2, 2, stable=1)
    fact = past.when(commands.UndoRelease(release=2)).decision
    assert isinstance(fact, facts.ReleaseRequested)
    assert (fact.candidate, fact.undo_of, fact.strategy) == (1, 2, configuration.STRATEGY_DIRECT)
    past.when(commands.UndoRelease(release=1)).then_refused("illegal-transition", "live")


@pytest.mark.parametrize(
    ("past", "advice"),
    [
        (queued(), "is requested, so it cannot be undone: abort a release that has not completed"),
        (stepping(0), "is stepping, so it cannot be undone: abort a release that has not completed"),
        (baking(), "is baking, so it cannot be undone: abort a release that has not completed"),
        (queued().and_given(facts.ReleaseRejected(release=2)), "is rejected, so it cannot be undone: it has changed"),
        (completed(completed(one_live(), 2, 2, stable=1).and_given(*passed(3)), 3, 3, stable=2), "v3 is live, and"),
    ],
)
def test_an_undo_of_a_release_that_is_not_the_live_one_says_what_to_do_instead(past: History, advice: str) -> None:
    refused = past.when(commands.UndoRelease(release=2, reason="r")).decision
    assert isinstance(refused, Refused)
    assert advice in f"{refused.message}: {refused.rule}"


def test_an_abort_of_a_completed_release_says_undo_and_a_late_one_does_not_lose_its_reason() -> None:
    abort = commands.RollBackRelease(release=2, cause=facts.ROLLBACK_CAUSE_ABORTED, reason="second thoughts")
    completed(one_live(), 2, 2, stable=1).when(abort).then_refused("illegal-transition", "undo a release that has")
    past = stepping(0).and_given(facts.RollbackStarted(release=2, weights=weights(v1=10_000)))
    past.when(abort).then_refused("illegal-transition", "is rolling back")
    past.when(commands.RollBackRelease(release=2)).then_nothing()


def test_an_undo_needs_a_previous_version() -> None:
    one_live().when(commands.UndoRelease(release=1)).then_refused("illegal-transition", "no stable")


@pytest.mark.parametrize("others", [[requested(3, 3)], [requested(3, 3), started(3, 2)]])
def test_an_undo_is_possible_while_another_release_waits_or_runs(others: list[object]) -> None:
    busy = completed(one_live(), 2, 2, stable=1).and_given(*passed(3), *others)
    fact = busy.when(commands.UndoRelease(release=2)).decision
    assert isinstance(fact, facts.ReleaseRequested)
    assert (fact.release, fact.candidate, fact.undo_of) == (4, 1, 2)
    busy.and_given(fact).when(commands.UndoRelease(release=2)).then_refused("already-exists", "release 4 of fraud un")


def test_an_undo_may_return_to_a_quarantined_version() -> None:
    past = completed(one_live(), 2, 2, stable=1).and_given(facts.CandidateQuarantined(version=1))
    fact = past.when(commands.UndoRelease(release=2)).decision
    assert isinstance(fact, facts.ReleaseRequested)
    past.and_given(fact).when(commands.BeginRelease(release=3)).then(started(3, stable=2))


def test_a_release_that_does_not_exist_is_not_found() -> None:
    one_live().when(commands.PauseRelease(release=9)).then_refused("not-found", "release 9 of fraud")
