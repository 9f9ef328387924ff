"""Whose approvals an environment asks for, and whose count: separation of duties, and so many people of each role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from headgate.access.folded import grants_of, subject_named
from headgate.access.grants import Bound, Target
from headgate.access.held import held_roles
from headgate.domain import access, environment, model
from headgate.domain.approvals import COUNTED_ROLES, awaited_approvals, unfilled
from headgate.domain.bounds import covers
from headgate.domain.refusal import Refused
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import built, gate, stamp

APPROVER, OPERATOR, ADMINISTRATOR = facts.ROLE_APPROVER, facts.ROLE_OPERATOR, facts.ROLE_ADMINISTRATOR
MODEL, PRODUCTION = "fraud", "production"


class Company:
    """One model whose first version ada created, the environment production, and who holds which role."""

    def __init__(self, approvals: int = 0, wish: str = "") -> None:
        self.now_ms = 0
        self.model = ModelState(MODEL)
        self.environments: dict[str, EnvironmentState] = {}
        self.access = AccessState("default")
        past = [*built(approvals=approvals), gate(approvals=approvals)]
        for fact in past:
            if isinstance(fact, facts.CodeTested):
                fact.configuration.release.environment = wish
            model.evolve(self.model, fact, self._stamp("ada"))  # type: ignore[arg-type]

    def asks(self, author_counts: bool = False, name: str = PRODUCTION, **roles: int) -> Company:
        asked = facts.ApprovalPolicy(
            author_counts=author_counts,
            roles=[facts.RoleCount(role=facts.Role.Value(f"ROLE_{role.upper()}"), count=roles[role]) for role in roles],
        )
        state = self.environments.setdefault(name, EnvironmentState(name))
        fact = environment.decide(state, commands.SetPolicy(approvals=asked), self.now_ms)
        assert isinstance(fact, facts.PolicySet)
        environment.evolve(state, fact, self._stamp("root"))
        return self

    def grant(self, subject: str, role: facts.Role.ValueType, **terms: object) -> str:
        name = f"g{self.now_ms}"
        bounds: dict[str, object] = {"models": "*", "environments": "*", **terms}
        self._change(commands.GrantRole(grant=name, subject=subject, role=role, **bounds))  # type: ignore[arg-type]
        return name

    def revoke(self, grant: str) -> None:
        self._change(commands.RevokeRole(grant=grant))

    def approve(self, subject: str, proven: bool = True, groups: Sequence[str] = ()) -> object:
        grants = grants_of(self.access, ["root"], self.now_ms)
        held = held_roles(subject_named(subject, groups), grants, Target(MODEL)) if proven else ()
        command = commands.GrantApproval(version=1)
        decision = model.decide(self.model, command, self.now_ms, self.environments, subject, held, self.access)
        if isinstance(decision, facts.ApprovalGranted):
            model.evolve(self.model, decision, self._stamp(subject))
        return decision

    def release(self, name: str = PRODUCTION) -> object:
        command = commands.StartRelease(environment=name, candidate=1)
        return model.decide(self.model, command, self.now_ms, self.environments, "deployer", (), self.access)

    def refusal(self, name: str = PRODUCTION) -> str:
        """What the refusal of a release says; empty when it is not refused."""
        decision = self.release(name)
        return decision.message if isinstance(decision, Refused) else ""

    def _change(self, command: access.AccessCommand) -> None:
        fact = access.decide(self.access, command, self.now_ms)
        assert fact is not None
        assert not isinstance(fact, Refused), fact
        access.evolve(self.access, fact, self._stamp("root"))

    def _stamp(self, actor: str) -> facts.LifecycleRecord:
        self.now_ms += 1
        return stamp(self.now_ms, self.now_ms, actor)


def refused(decision: object, code: str) -> str:
    assert isinstance(decision, Refused), decision
    assert decision.code == code
    return f"{decision.message}: {decision.rule}"


def test_an_environment_that_asks_takes_a_version_after_so_many_people_of_each_role_have_approved_it():
    company = Company().asks(approver=2, operator=1)
    for name in ("grace", "alan", "linus"):
        company.grant(name, APPROVER)
    company.grant("linus", OPERATOR)
    assert "approvals by 1 more operator and 2 more approvers for production" in company.refusal()
    company.approve("linus")
    company.approve("grace")
    assert "approvals by 1 more approver for production, of whom none has created it" in company.refusal()
    company.approve("alan")
    assert isinstance(company.release(), facts.ReleaseRequested)


def test_another_environment_asks_for_nothing():
    assert isinstance(Company().asks(approver=1).release("staging"), facts.ReleaseRequested)


def test_who_created_a_version_does_not_approve_it():
    company = Company().asks(approver=1)
    company.grant("ada", APPROVER)
    shown = refused(company.approve(" Ada"), "own-version")
    assert "you created version 1 of fraud; production asks for somebody else" in shown


def test_the_authors_approval_of_its_own_gate_counts_for_no_environment_that_asks_for_others():
    company = Company(approvals=1, wish="staging").asks(approver=1)
    company.grant("ada", APPROVER)
    assert isinstance(company.approve("ada"), facts.ApprovalGranted)
    assert isinstance(company.release("staging"), facts.ReleaseRequested)
    assert "1 more approver" in company.refusal()


def test_the_environment_that_a_version_is_made_for_decides_whether_its_author_may_approve_its_gate():
    company = Company(approvals=1, wish=PRODUCTION).asks(approver=1)
    company.grant("ada", APPROVER)
    refused(company.approve("ada"), "own-version")


def test_the_author_counts_where_the_policy_says_so():
    company = Company().asks(approver=1, author_counts=True)
    company.grant("ada", APPROVER)
    company.approve("ada")
    assert isinstance(company.release(), facts.ReleaseRequested)


def test_one_person_counts_for_one_role():
    company = Company().asks(approver=1, operator=1)
    company.grant("grace", APPROVER)
    company.grant("grace", OPERATOR)
    company.approve("grace")
    assert company.approve("GRACE") is None
    assert "1 more approver" in company.refusal()


def test_an_administrator_counts_for_each_role():
    company = Company().asks(operator=1)
    company.approve("root")
    assert isinstance(company.release(), facts.ReleaseRequested)


def test_a_role_for_one_environment_counts_there_alone():
    company = Company().asks(operator=1).asks(operator=1, name="staging")
    company.grant("grace", APPROVER)
    company.grant("grace", OPERATOR, environments="prod*")
    company.approve("grace")
    assert isinstance(company.release(), facts.ReleaseRequested)
    assert "1 more operator" in company.refusal("staging")


def test_a_role_for_another_model_does_not_count():
    company = Company().asks(operator=1)
    company.grant("grace", APPROVER)
    company.grant("grace", OPERATOR, models="churn")
    company.approve("grace")
    assert "1 more operator" in company.refusal()


def test_a_role_of_a_group_counts():
    company = Company().asks(approver=1)
    company.grant("group:risk", APPROVER)
    company.approve("grace", groups=["risk"])
    assert isinstance(company.release(), facts.ReleaseRequested)


def test_an_approval_counts_no_more_when_its_grant_is_revoked_before_the_release():
    company = Company().asks(approver=1)
    grant = company.grant("grace", APPROVER)
    company.approve("grace")
    company.revoke(grant)
    assert "1 more approver" in company.refusal()
    company.grant("grace", APPROVER)
    assert "1 more approver" in company.refusal(), "a later grant is another one"


def test_an_approval_counts_no_more_when_its_author_is_denied_to_approve_before_the_release():
    company = Company().asks(operator=1)
    company.grant("grace", APPROVER)
    company.grant("grace", OPERATOR)
    company.approve("grace")
    company.grant("grace", APPROVER, models="churn", deny=True)
    assert isinstance(company.release(), facts.ReleaseRequested)
    company.grant("grace", APPROVER, models="fr*", deny=True)
    assert "1 more operator" in company.refusal()


def test_a_release_that_waits_for_its_begin_ends_when_an_approval_counts_no_more():
    company = Company().asks(approver=1)
    grant = company.grant("grace", APPROVER)
    company.approve("grace")
    started = company.release()
    assert isinstance(started, facts.ReleaseRequested)
    model.evolve(company.model, started, stamp(99, 99))
    company.revoke(grant)
    begin = commands.BeginRelease(release=1)
    rejected = model.decide(company.model, begin, 100, company.environments, "deployer", (), company.access)
    assert isinstance(rejected, facts.ReleaseRejected)
    assert "1 more approver" in rejected.reason


def test_an_approval_that_nobody_has_proven_does_not_count_and_the_refusal_says_so():
    company = Company().asks(approver=1)
    company.grant("grace", APPROVER)
    company.approve("grace", proven=False)
    assert "approvals by people who have not proven who they are do not count" in company.refusal()
    assert isinstance(company.approve("grace"), facts.ApprovalGranted), "now she proves it"
    assert isinstance(company.release(), facts.ReleaseRequested)


def test_a_version_that_is_compared_again_is_approved_again():
    company = Company().asks(approver=1)
    company.grant("grace", APPROVER)
    company.approve("grace")
    again = facts.EvaluationStarted(version=1, attempt=4, worker="w", lease_ms=1)
    model.evolve(company.model, again, stamp(99, 99))
    assert not company.model.versions[1].proven_approvals


@pytest.mark.parametrize(
    "asked",
    [
        facts.ApprovalPolicy(),
        facts.ApprovalPolicy(roles=[facts.RoleCount(role=APPROVER, count=0)]),
        facts.ApprovalPolicy(roles=[facts.RoleCount(role=APPROVER, count=21)]),
        facts.ApprovalPolicy(roles=[facts.RoleCount(role=facts.ROLE_VIEWER, count=1)]),
        facts.ApprovalPolicy(roles=[facts.RoleCount(role=APPROVER, count=1)] * 2),
    ],
)
def test_a_policy_that_asks_for_nobody_or_for_what_nobody_can_be_is_refused(asked: facts.ApprovalPolicy):
    decision = environment.decide(EnvironmentState(PRODUCTION), commands.SetPolicy(approvals=asked), 1)
    refused(decision, "invalid-argument")


def test_a_policy_without_approvals_ends_those_of_before():
    company = Company().asks(approver=1)
    state = company.environments[PRODUCTION]
    fact = environment.decide(state, commands.SetPolicy(), 50)
    assert isinstance(fact, facts.PolicySet)
    environment.evolve(state, fact, stamp(50, 50))
    assert not company.environments[PRODUCTION].environment.HasField("approvals")
    assert isinstance(company.release(), facts.ReleaseRequested)


roles = st.sampled_from(COUNTED_ROLES)


@for_all(st.lists(roles, max_size=4), st.lists(st.frozensets(roles), max_size=5))
def test_as_many_roles_are_filled_as_any_choice_of_people_could_fill(
    wanted: list[facts.Role.ValueType], people: list[frozenset[facts.Role.ValueType]]
):
    padded = [*people, *([frozenset()] * max(0, len(wanted) - len(people)))]
    choices = permutations(padded, len(wanted))
    best = min(sum(role not in held for role, held in zip(wanted, choice, strict=True)) for choice in choices)
    missing = unfilled(wanted, people)
    assert len(missing) == best
    assert all(missing.count(role) <= wanted.count(role) for role in missing)


names = st.sampled_from(["fraud", "fraud-eu", "churn"])
bounds = st.sampled_from(["*", "fraud", "fraud*", "fraud-*", "team=risk", "team=", "churn"])
labels = st.dictionaries(st.just("team"), st.sampled_from(["risk", "growth"]))


@for_all(bounds, names, labels)
def test_a_decision_and_a_grant_agree_for_which_names_a_bound_holds(bound: str, name: str, held: Mapping[str, str]):
    assert covers(bound, name, held) == Bound(bound).covers(name, held)


PEOPLE = ("ada", "grace", "alan", "linus")
people = st.sampled_from(PEOPLE)
kept = st.sampled_from([APPROVER, OPERATOR, ADMINISTRATOR])


class Approving(RuleBasedStateMachine):
    """Grants come and go, people approve: production takes the version exactly when enough approvals count."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[facts.Role.ValueType] = []
        self.author_counts = False
        self.held: dict[str, tuple[str, facts.Role.ValueType]] = {}
        self.given: dict[str, set[str]] = {}
        """The grants by which each person has approved."""

    @initialize(approvers=st.integers(0, 2), operators=st.integers(0, 1), author_counts=st.booleans())
    def begin(self, approvers: int, operators: int, author_counts: bool) -> None:
        approvers = approvers or 1 - operators
        asked = {"approver": approvers, "operator": operators}
        self.company = Company().asks(author_counts, **{role: count for role, count in asked.items() if count})
        self.wanted = [APPROVER] * approvers + [OPERATOR] * operators
        self.author_counts = author_counts

    @rule(subject=people, role=kept)
    def grant(self, subject: str, role: facts.Role.ValueType) -> None:
        self.held[self.company.grant(subject, role)] = subject, role

    @rule(pick=st.integers(0, 9))
    def revoke(self, pick: int) -> None:
        if self.held:
            name = sorted(self.held)[pick % len(self.held)]
            self.company.revoke(name)
            del self.held[name]

    @rule(subject=people)
    def approve(self, subject: str) -> None:
        mine = {name for name, (who, role) in self.held.items() if who == subject}
        if not any(self.held[name][1] in (APPROVER, ADMINISTRATOR) for name in mine):
            return  # the table of methods lets nobody else approve
        decision = self.company.approve(subject)
        if subject == "ada" and not self.author_counts:
            refused(decision, "own-version")
        elif subject not in self.given:
            assert isinstance(decision, facts.ApprovalGranted)
            self.given[subject] = mine
        else:
            assert decision is None

    @rule()
    def release(self) -> None:
        choices = permutations([self._roles(name) for name in [*self.given, *["nobody"] * len(self.wanted)]])
        enough = any(all(role in held for role, held in zip(self.wanted, choice, strict=False)) for choice in choices)
        decision = self.company.release()
        assert isinstance(decision, facts.ReleaseRequested) == enough, (decision, self.given, self.held)
        version, state = self.company.model.versions[1], self.company.environments[PRODUCTION]
        assert (awaited_approvals(self.company.model, version, state, self.company.access) == "") == enough

    def _roles(self, name: str) -> set[facts.Role.ValueType]:
        """The roles of a person who has approved, by the grants that it had then and has still."""
        roles = {self.held[grant][1] for grant in self.given.get(name, ()) if grant in self.held}
        if ADMINISTRATOR in roles:
            return {APPROVER, OPERATOR}
        return roles if APPROVER in roles else set()


TestApproving = Approving.TestCase
TestApproving.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_the_approval_of_an_older_log_folds_as_before():
    """It has no roles: it counts for the version's own gate and is kept nowhere else."""
    company = Company(approvals=1)
    model.evolve(company.model, facts.ApprovalGranted(version=1), stamp(99, 99, "grace"))
    version = company.model.versions[1]
    assert version.verdict == resources.VERDICT_STATE_APPROVED
    assert (list(version.approved_by), len(version.proven_approvals)) == (["grace"], 0)
