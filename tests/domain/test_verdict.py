"""The verdict axis: gate, approvals, waiver."""

import pytest

from headgate.domain.refusal import Refused
from headgate.domain.verdict import MAX_APPROVER
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import built, created, gate, given


def decided(auc: float) -> facts.GateDecided:
    outcome = given(*built(auc=auc)).when(commands.DecideGate(version=1)).decision
    assert isinstance(outcome, facts.GateDecided)
    return outcome


def test_the_gate_is_computed_from_the_recorded_report() -> None:
    assert decided(0.95).passed
    failed = decided(0.85)
    assert not failed.passed
    assert failed.results[0].missed_by == pytest.approx(0.05)


def test_the_gate_decides_only_evaluated_versions() -> None:
    given(created()).when(commands.DecideGate(version=1)).then_refused("illegal-transition", "evaluated")


def test_the_gate_is_decided_once() -> None:
    given(*built(), gate()).when(commands.DecideGate(version=1)).then_nothing()


def test_a_version_without_needed_approvals_has_passed() -> None:
    assert given(*built(), gate()).version().label == "passed"


def test_the_gate_of_the_commit_sets_the_number_of_approvals() -> None:
    outcome = given(*built(approvals=2)).when(commands.DecideGate(version=1)).decision
    assert isinstance(outcome, facts.GateDecided)
    assert outcome.policy.approvals == 2


def test_a_version_is_approved_when_enough_people_have_approved_it() -> None:
    past = given(*built(), gate(approvals=2))
    assert past.version().label == "awaiting approval"
    past.when(commands.GrantApproval(version=1, reason="ok"), actor="ada").then(
        facts.ApprovalGranted(version=1, reason="ok")
    )
    past.and_given(facts.ApprovalGranted(version=1), actor="ada")
    assert past.version().label == "awaiting approval"
    past.and_given(facts.ApprovalGranted(version=1), actor="grace")
    assert past.version().label == "approved"
    assert list(past.version().approved_by) == ["ada", "grace"]
    past.when(commands.GrantApproval(version=1), actor="alan").then_nothing()


def test_one_person_approves_once() -> None:
    past = given(*built(), gate(approvals=2)).and_given(facts.ApprovalGranted(version=1), actor="ada")
    past.when(commands.GrantApproval(version=1, reason="again"), actor="ada").then_nothing()
    past.when(commands.GrantApproval(version=1), actor="grace").then(facts.ApprovalGranted(version=1))


def test_an_approver_of_one_version_may_approve_another() -> None:
    past = given(*built(1), *built(2), gate(1, approvals=2), gate(2, approvals=2))
    past.and_given(facts.ApprovalGranted(version=1), actor="ada")
    past.when(commands.GrantApproval(version=2), actor="ada").then(facts.ApprovalGranted(version=2))


@pytest.mark.parametrize("actor", ["", " ", "anonymous", "Anonymous "])
def test_an_approval_without_a_name_is_no_approval_by_a_person(actor: str) -> None:
    past = given(*built(), gate(approvals=1))
    past.when(commands.GrantApproval(version=1), actor=actor).then_refused("invalid-argument", "actor")
    past.when(commands.GrantApproval(version=1), actor="ada").then(facts.ApprovalGranted(version=1))


def test_a_name_with_other_capitals_or_spaces_is_no_other_person() -> None:
    past = given(*built(), gate(approvals=2)).and_given(facts.ApprovalGranted(version=1), actor="Ada")
    past.when(commands.GrantApproval(version=1), actor=" ada ").then_nothing()


def test_an_approval_without_a_name_in_an_older_log_still_counts() -> None:
    past = given(*built(), gate(approvals=2)).and_given(facts.ApprovalGranted(version=1))
    assert list(past.version().approved_by) == ["anonymous"]
    past.and_given(facts.ApprovalGranted(version=1), actor="ada")
    assert past.version().label == "approved"


def test_an_approver_may_still_deny() -> None:
    past = given(*built(), gate(approvals=2)).and_given(facts.ApprovalGranted(version=1), actor="ada")
    past.when(commands.DenyApproval(version=1, reason="r"), actor="ada").then(
        facts.ApprovalDenied(version=1, reason="r")
    )


def test_an_approver_with_a_very_long_name_is_refused() -> None:
    past = given(*built(), gate(approvals=1))
    past.when(commands.GrantApproval(version=1), actor="x" * (MAX_APPROVER + 1)).then_refused(
        "invalid-argument", "actor"
    )
    past.when(commands.GrantApproval(version=1), actor="x" * MAX_APPROVER).then(facts.ApprovalGranted(version=1))


def test_a_version_that_one_person_approved_twice_before_the_rule_stays_approved() -> None:
    past = given(*built(), gate(approvals=2))
    past.and_given(facts.ApprovalGranted(version=1), facts.ApprovalGranted(version=1), actor="ada")
    assert (past.version().label, past.version().approvals) == ("approved", 2)
    assert list(past.version().approved_by) == ["ada"]
    start = commands.StartRelease(environment="production", candidate=1)
    assert isinstance(past.when(start).decision, facts.ReleaseRequested)


def test_one_denial_denies_the_version() -> None:
    past = given(*built(), gate(approvals=2), facts.ApprovalGranted(version=1))
    past.when(commands.DenyApproval(version=1, reason="biased")).then(facts.ApprovalDenied(version=1, reason="biased"))
    past.and_given(facts.ApprovalDenied(version=1))
    past.when(commands.DenyApproval(version=1)).then_nothing()
    past.when(commands.GrantApproval(version=1)).then_refused("illegal-transition", "awaits")
    past.when(commands.WaiveGate(version=1, reason="r")).then_refused("illegal-transition", "failed gate")


def test_only_a_version_that_awaits_approval_can_be_approved_or_denied() -> None:
    for history in ([created()], [*built(), gate()], [*built(), gate(passed=False)]):
        past = given(*history)
        for command in (commands.GrantApproval(version=1), commands.DenyApproval(version=1)):
            past.when(command).then_refused("illegal-transition", "awaits")


@pytest.mark.parametrize(
    "command",
    [
        commands.DecideGate(version=1),
        commands.GrantApproval(version=1),
        commands.DenyApproval(version=1),
        commands.WaiveGate(version=1, reason="r"),
    ],
)
def test_a_purged_version_gets_no_verdict(command: object) -> None:
    purged = [facts.VersionArchived(version=1), facts.VersionPurged(version=1)]
    given(*built(), gate(passed=False), *purged).when(command).then_refused("purged", "purged")


def test_a_failed_gate_is_waived_with_a_reason() -> None:
    past = given(*built(), gate(passed=False))
    past.when(commands.WaiveGate(version=1)).then_refused("invalid-argument", "reason")
    past.when(commands.WaiveGate(version=1, reason="known label noise")).then(
        facts.GateWaived(version=1, reason="known label noise")
    )
    past.and_given(facts.GateWaived(version=1))
    past.when(commands.WaiveGate(version=1, reason="again")).then_nothing()


def test_only_a_failed_gate_can_be_waived() -> None:
    for history in ([created()], [*built()], [*built(), gate()], [*built(), gate(approvals=1)]):
        outcome = given(*history).when(commands.WaiveGate(version=1, reason="r")).decision
        assert isinstance(outcome, Refused)
        assert outcome.code == "illegal-transition"


def test_the_refusal_of_an_approval_names_the_verdict_and_not_the_quarantine() -> None:
    quarantined = given(*built(), gate(), facts.CandidateQuarantined(version=1))
    quarantined.when(commands.GrantApproval(version=1)).then_refused("illegal-transition", "has passed its gate")
