"""A version is compared again when another one goes live before its own release."""

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import (
    NAME,
    History,
    claimed,
    completed,
    created,
    evaluated,
    evaluating,
    gate,
    given,
    passed,
    ready,
    requested,
    started,
    trained,
    training,
    weights,
)


def compared(number: int, baseline: int = 0, attempt: int = 1) -> facts.EvaluationFinished:
    fact = evaluated(number, attempt)
    fact.baseline_version = baseline
    return fact


def built_with_max_drop(number: int, baseline: int = 0, drop: float = 0.01) -> list[object]:
    """A version up to its evaluation, whose gate compares with the live version."""
    rule = configuration.GateRule(metric="auc", max_drop=drop)
    declared = configuration.ModelConfiguration(model=NAME, gate=configuration.GatePolicy(rules=[rule]))
    tested = facts.CodeTested(version=number, attempt=1, passed=True, configuration=declared)
    before = [created(number), claimed(number), tested, training(number), trained(number), evaluating(number)]
    return [*before, compared(number, baseline)]


def then_live(*history: object) -> History:
    """Version 2 was evaluated while nothing was live, and then version 1 went live."""
    return completed(given(*passed(1), *built_with_max_drop(2), *history), 1, 1)


UNCOMPARED = "was not compared with v1"
AGAIN = commands.StartEvaluation(version=2, attempt=4, worker="evaluator-0", lease_ms=1_000)


def test_a_gate_is_not_decided_on_a_comparison_with_what_was_live_before() -> None:
    then_live().when(commands.DecideGate(version=2)).then_refused("illegal-transition", UNCOMPARED)


def test_an_approval_is_not_given_to_an_outdated_comparison() -> None:
    past = then_live(gate(2, approvals=1))
    past.when(commands.GrantApproval(version=2), actor="ada").then_refused("illegal-transition", UNCOMPARED)


def test_a_version_with_an_outdated_comparison_is_not_released() -> None:
    start = commands.StartRelease(environment="production", candidate=2)
    rule = "waits for its comparison with v1"
    then_live(gate(2)).when(start).then_refused("illegal-transition", rule)


def test_a_requested_release_waits_for_its_candidates_new_verdict_and_then_begins_or_is_rejected() -> None:
    begin = commands.BeginRelease(release=2)
    past = given(*passed(1), *built_with_max_drop(2), gate(2))
    past.and_given(requested(1, 1, configuration.STRATEGY_DIRECT), started(1), ready(1), requested(2, 2))
    past.and_given(facts.PromotionStarted(release=1, weights=weights(v1=10_000)))
    past.and_given(facts.WeightsApplied(release=1, epoch=past.release(1).epoch), facts.ReleaseCompleted(release=1))
    past.when(begin).then_refused("illegal-transition", "waits for its comparison with v1")
    past.and_given(evaluating(2, 4)).when(begin).then_refused("illegal-transition", "waits for the verdict of its gate")
    past.and_given(compared(2, 1, attempt=4))
    past.when(begin).then_refused("illegal-transition", "waits for the verdict of its gate")
    past.and_given(gate(2, approvals=1)).when(begin).then_refused("illegal-transition", "waits for its approvals")
    past.and_given(facts.ApprovalGranted(version=2), actor="ada").when(begin).then(started(2, 1))


def test_a_candidate_that_fails_its_second_comparison_ends_its_release() -> None:
    past = then_live(gate(2)).and_given(requested(2, 2), evaluating(2, 4), compared(2, 1, 4), gate(2, passed=False))
    rejected = past.when(commands.BeginRelease(release=2)).decision
    assert isinstance(rejected, facts.ReleaseRejected)


def test_a_new_comparison_forgets_the_verdict_and_the_approvals() -> None:
    past = then_live(gate(2, approvals=1), facts.ApprovalGranted(version=2))
    assert past.version(2).label == "approved"
    past.when(AGAIN).then(evaluating(2, 4))
    past.and_given(evaluating(2, 4))
    assert past.version(2).label == "evaluating"
    assert (past.version(2).approvals, list(past.version(2).approved_by)) == (0, [])
    assert not past.version(2).HasField("gate")


def test_a_new_comparison_has_attempts_of_its_own() -> None:
    past = then_live(gate(2))
    wrong = commands.StartEvaluation(version=2, attempt=2, worker="evaluator-0", lease_ms=1_000)
    past.when(wrong).then_refused("invalid-argument", "the next attempt is 4")
    past.and_given(evaluating(2, 4), evaluating(2, 5), compared(2, 1, 5), gate(2))
    past.when(AGAIN).then_refused("illegal-transition", "only work that is due")
    completed(past.and_given(*passed(3)), 2, 3, stable=1)
    past.when(AGAIN).then_refused("illegal-transition", "only work that is due")


@pytest.mark.parametrize(
    "past",
    [
        completed(given(*passed(1), *passed(2)), 1, 1),
        completed(given(*passed(1), *built_with_max_drop(2, baseline=1), gate(2)), 1, 1),
        then_live(gate(2, passed=False), facts.GateWaived(version=2, reason="known")),
        then_live(gate(2)).and_given(requested(2, 2), started(2, 1)),
    ],
    ids=["no max_drop", "compared with it", "waived", "already in a release"],
)
def test_a_version_is_not_compared_again_without_need(past: History) -> None:
    past.when(AGAIN).then_refused("illegal-transition", "only work that is due")


def test_a_version_older_than_the_live_one_is_not_compared_again() -> None:
    past = completed(given(*built_with_max_drop(1), gate(1), *passed(2)), 1, 2)
    decided = past.when(commands.StartRelease(environment="production", candidate=1)).decision
    assert isinstance(decided, facts.ReleaseRequested)
