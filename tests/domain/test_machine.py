"""All commands in any order, mostly with plausible arguments: every decision can be folded, and no rule breaks."""

from __future__ import annotations

import copy
import hashlib
import re
from typing import get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headgate.domain import access, model
from headgate.domain import environment as environments
from headgate.domain.access import AccessCommand
from headgate.domain.build import first_evaluation
from headgate.domain.environment import EnvironmentCommand
from headgate.domain.fact import Fact
from headgate.domain.model import ModelCommand
from headgate.domain.refusal import Refused
from headgate.domain.release import RUNNING, TERMINAL
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.verdict import RELEASABLE
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.stream import Stream
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import LEASE_MS, PASS, POLICY, built, code_tested, commit, gate, passed, report, stamp

ENVIRONMENTS = ("production", "staging")
REPEATABLE = (commands.DescribeModel,)
"""Commands that lead to a fact again when they are repeated."""
PEOPLE = ("ada", "grace", "anonymous", "")

KEEPING = (
    commands.GrantApproval,
    commands.DenyApproval,
    commands.WaiveGate,
    commands.ArchiveVersion,
    commands.PurgeVersion,
    commands.QuarantineCandidate,
    commands.LiftQuarantine,
    commands.DecideGate,
)
small = st.integers(1, 3)
pick = st.integers(0, 5)
verdicts = st.sampled_from(list(facts.Verdict.values()))
judgements = st.builds(facts.Judgement, verdict=verdicts)


def next_move(release: resources.Release) -> ModelCommand:
    number = release.release
    if release.phase == resources.PHASE_REQUESTED:
        return commands.BeginRelease(release=number)
    if release.epoch and not release.applied_at_ms:
        return commands.ReportWeightsApplied(release=number, epoch=release.epoch, gateways=["g0"])
    if release.phase == resources.PHASE_PREPARING and not release.candidate_ready:
        return commands.ReportCandidateReady(release=number, gateways=["g0"])
    if release.phase == resources.PHASE_ROLLING_BACK:
        return commands.FinishRollback(release=number)
    if release.phase == resources.PHASE_BAKING:
        return commands.CompleteRelease(release=number)
    if release.strategy == configuration.STRATEGY_CANARY and release.step + 1 < len(POLICY.steps):
        return commands.SetWeights(release=number, step=release.step + 1, judgement=PASS)
    return commands.PromoteRelease(release=number, judgement=PASS)


def candidate_bps(release: resources.Release) -> int:
    return sum(weight.weight_bps for weight in release.weights if weight.version == release.candidate)


NOT_FOR_PEOPLE = re.compile(r"models/\w+|environments/\w+|\b(None|True|False)\b|\[\]|''")
"""Names of resources as programs write them, and Python's words. No refusal shows them."""


class Lifecycle(RuleBasedStateMachine):
    """One model, two environments."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ModelState("fraud")
        self.environments = {name: EnvironmentState(name) for name in ENVIRONMENTS}
        self.facts: list[tuple[Fact, facts.LifecycleRecord]] = []
        self.now_ms = 1
        self.ended: dict[int, resources.Release] = {}
        self.rollback_share: dict[int, int] = {}

    def do(self, command: ModelCommand, actor: str = "") -> None:
        self.now_ms += 1
        before = copy.deepcopy(self.state)
        decision = model.decide(self.state, command, self.now_ms, self.environments, actor)
        assert self.state == before, "a decision changes nothing"
        if isinstance(decision, Refused):
            shown = f"{decision.message}: {decision.rule}"
            assert not NOT_FOR_PEOPLE.search(shown), f"people do not say so: {shown}"
        if decision is None or isinstance(decision, Refused):
            return
        if isinstance(
            decision, facts.ReleaseStarted | facts.WeightsSet | facts.PromotionStarted | facts.ReleaseCompleted
        ):
            release = self.state.releases[decision.release]
            assert release.override_quarantine or not self.state.versions[release.candidate].quarantined
        at = stamp(len(self.facts) + 1, self.now_ms, actor)
        model.evolve(self.state, decision, at)
        self.facts.append((decision, at))
        again = model.decide(self.state, command, self.now_ms, self.environments, actor)
        if not isinstance(command, REPEATABLE):
            assert again is None or isinstance(again, Refused), (command, again)

    def in_environment(self, name: str, command: EnvironmentCommand) -> None:
        state = self.environments[name]
        decision = environments.decide(state, command, self.now_ms)
        if decision is not None and not isinstance(decision, Refused):
            environments.evolve(state, decision, stamp(1, self.now_ms))
            again = environments.decide(state, command, self.now_ms)
            assert again is None or isinstance(again, Refused)

    def version(self, pick: int) -> int:
        """The number of a version that exists, most of the time."""
        return pick % (len(self.state.versions) + 1) or 1

    def release(self, pick: int) -> int:
        return len(self.state.releases) - pick % 3

    def attempt(self, number: int) -> int:
        return self.state.versions[number].attempt if number in self.state.versions else 1

    @initialize(count=st.sampled_from([3, 2, 1, 0]), approvals=st.sampled_from([0, 0, 2, 3]), compared=st.booleans())
    def begin_with_passed_versions(self, count: int, approvals: int, compared: bool) -> None:
        """With `compared`, the gates have a max_drop, and version 1 went live after all had passed."""
        past = [fact for number in range(1, count + 1) for fact in passed(number)]
        if approvals:
            past += [*built(count + 1), gate(count + 1, approvals=approvals)]
        for fact in past:
            if compared and isinstance(fact, facts.CodeTested):
                fact.configuration.gate.rules[0].max_drop = 0.5
            at = stamp(len(self.facts) + 1, self.now_ms)
            model.evolve(self.state, fact, at)  # type: ignore[arg-type]
            self.facts.append((fact, at))  # type: ignore[arg-type]
        if compared and count > 1:
            self.do(commands.StartRelease(environment=ENVIRONMENTS[0], candidate=1, policy=POLICY))
            while self.state.releases[1].phase not in TERMINAL:
                self.do(next_move(self.state.releases[1]))

    @rule(number=small)
    def create(self, number: int) -> None:
        self.do(commands.CreateVersion(repository="/r", commit=commit(100 + number)))

    @rule(text=st.sampled_from(["", "d"]), again=st.booleans())
    def describe(self, text: str, again: bool) -> None:
        self.do(
            commands.DescribeModel(description=text)
            if again
            else commands.CreateModel(description=text, labels={"team": text})
        )

    @rule(key=st.sampled_from(["team", "Team"]), value=st.sampled_from(["risk", "", "x" * 300]))
    def label(self, key: str, value: str) -> None:
        self.do(commands.LabelModel(key=key, value=value))

    @rule(pick=pick, worker=st.sampled_from("ab"), next_=st.integers(0, 1), evaluate=st.booleans(), late=st.booleans())
    def claim(self, pick: int, worker: str, next_: int, evaluate: bool, late: bool) -> None:
        number = self.version(pick)
        self.now_ms += 2 * LEASE_MS * late
        kind = commands.StartEvaluation if evaluate else commands.StartTesting
        attempt = self.attempt(number) + 1 if next_ else 1
        self.do(kind(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS))

    @rule(pick=pick, good=st.booleans(), off=st.sampled_from([0, 0, 0, 1]))
    def finish_tests(self, pick: int, good: bool, off: int) -> None:
        number = self.version(pick)
        fact = code_tested(number, self.attempt(number) - off, approvals=pick % 3)
        fact.passed = good
        self.do(commands.ReportCodeTested(fact=fact))

    @rule(pick=pick, good=st.booleans())
    def train(self, pick: int, good: bool) -> None:
        number = self.version(pick)
        attempt = self.attempt(number)
        self.do(commands.ReportTrainingStarted(fact=facts.TrainingStarted(version=number, attempt=attempt)))
        artifact = facts.Artifact(manifest_sha256="ab")
        done = facts.TrainingFinished(version=number, attempt=attempt, artifact=artifact)
        lost = facts.TrainingFailed(version=number, attempt=attempt, reason="r")
        self.do(commands.ReportTrainingFinished(fact=done) if good else commands.ReportTrainingFailed(fact=lost))

    @rule(auc=st.sampled_from([0.95, 0.5, None]))
    def compare_again(self, auc: float | None) -> None:
        """Does what an evaluator does about versions that were compared with what was live before."""
        for number, version in self.state.versions.items():
            attempt = first_evaluation(self.state, version)
            if attempt <= 1:
                continue
            self.do(commands.StartEvaluation(version=number, attempt=attempt, worker="a", lease_ms=LEASE_MS))
            if auc is not None:
                done = facts.EvaluationFinished(version=number, attempt=attempt, report=report(auc))
                done.baseline_version = self.state.model.live[ENVIRONMENTS[0]]
                done.baseline_report.CopyFrom(report(0.95))
                self.do(commands.ReportEvaluationFinished(fact=done))
                self.do(commands.DecideGate(version=number))

    @rule(pick=pick, reason=st.sampled_from(["the tests hang", ""]))
    def cancel(self, pick: int, reason: str) -> None:
        self.do(commands.CancelVersion(version=self.version(pick), reason=reason))

    @rule(pick=pick, auc=st.sampled_from([0.5, 0.95, None]))
    def evaluate(self, pick: int, auc: float | None) -> None:
        number = self.version(pick)
        attempt = self.attempt(number)
        if auc is None:
            fact = facts.EvaluationFailed(version=number, attempt=attempt)
            self.do(commands.ReportEvaluationFailed(fact=fact))
        else:
            done = facts.EvaluationFinished(version=number, attempt=attempt, report=report(auc))
            self.do(commands.ReportEvaluationFinished(fact=done))
        self.do(commands.DecideGate(version=number))

    @rule(
        pick=pick,
        kind=st.sampled_from(KEEPING),
    )
    def judge_or_keep(self, pick: int, kind: type) -> None:
        number = self.version(pick)
        self.do(kind(version=number) if kind is commands.DecideGate else kind(version=number, reason="r"))

    @rule(back=st.integers(0, 1), actor=st.sampled_from(PEOPLE))
    def approve(self, back: int, actor: str) -> None:
        self.do(commands.GrantApproval(version=len(self.state.versions) - back), actor=actor)

    @rule(pick=pick, value=st.sampled_from(["", "x"]))
    def name(self, pick: int, value: str) -> None:
        self.do(commands.TagVersion(version=self.version(pick), key="team", value=value))
        self.do(
            commands.MoveAlias(alias="champion", version=self.version(pick))
            if value
            else commands.RemoveAlias(alias="champion")
        )

    @rule(
        pick=pick, where=st.sampled_from(ENVIRONMENTS), strategy=st.sampled_from(list(configuration.Strategy.values()))
    )
    def start(self, pick: int, where: str, strategy: configuration.Strategy.ValueType) -> None:
        number = self.version(pick)
        override = pick % 2 == 0
        self.do(
            commands.StartRelease(
                environment=where, candidate=number, strategy=strategy, policy=POLICY, override_quarantine=override
            )
        )

    @rule(pick=pick)
    def get_ready(self, pick: int) -> None:
        number = self.release(pick)
        self.do(commands.BeginRelease(release=number))
        self.do(commands.ReportCandidateReady(release=number, gateways=["g0"]))

    @rule(pick=pick, where=st.sampled_from(ENVIRONMENTS), override=st.booleans())
    def quarantine_while_waiting(self, pick: int, where: str, override: bool) -> None:
        number = self.version(pick)
        self.do(commands.StartRelease(environment=where, candidate=number, policy=POLICY, override_quarantine=override))
        self.do(commands.QuarantineCandidate(version=number, reason="r"))
        self.now_ms += 10_000  # after any freeze
        self.do(commands.BeginRelease(release=len(self.state.releases)))

    @rule(
        pick=pick,
        where=st.sampled_from(ENVIRONMENTS),
        moves=st.integers(1, 12),
        back=st.booleans(),
        paused_bps=st.sampled_from([None, 0, 100, FULL_WEIGHT_BPS]),
    )
    def pilot(self, pick: int, where: str, moves: int, back: bool, paused_bps: int | None) -> None:
        """Starts a release and does some of the moves that a deployer would do."""
        policy = copy.deepcopy(POLICY)
        if paused_bps is not None:
            policy.paused_weight_bps = paused_bps
        self.do(commands.StartRelease(environment=where, candidate=self.version(pick), policy=policy))
        self.now_ms += 10_000  # after any freeze
        for release in list(self.state.releases.values()):
            for _ in range(moves):
                self.do(next_move(release))
            if back:
                self.do(commands.RollBackRelease(release=release.release, cause=facts.ROLLBACK_CAUSE_VERDICT))

    @rule(pick=pick, judgement=judgements)
    def step(self, pick: int, judgement: facts.Judgement) -> None:
        number = self.release(pick)
        after = self.state.releases[number].step + 1 if number in self.state.releases else 0
        self.do(commands.SetWeights(release=number, step=after, judgement=judgement))

    @rule(pick=pick, off=st.sampled_from([0, 0, 0, 1]))
    def apply(self, pick: int, off: int) -> None:
        number = self.release(pick)
        epoch = self.state.releases[number].epoch if number in self.state.releases else 0
        self.do(commands.ReportWeightsApplied(release=number, epoch=epoch - off, gateways=["g0"]))

    @rule(pick=pick, judgement=judgements, reason=st.sampled_from(["", "a person"]))
    def promote(self, pick: int, judgement: facts.Judgement, reason: str) -> None:
        self.do(commands.PromoteRelease(release=self.release(pick), judgement=judgement, reason=reason))

    @rule(
        pick=pick,
        kind=st.sampled_from(
            [
                commands.CompleteRelease,
                commands.ResumeRelease,
                commands.FinishRollback,
                commands.UndoRelease,
                commands.BeginRelease,
            ]
        ),
    )
    def move(self, pick: int, kind: type) -> None:
        self.do(kind(release=self.release(pick)))

    @rule(pick=pick, at_fault=st.booleans(), late=st.booleans())
    def pause(self, pick: int, at_fault: bool, late: bool) -> None:
        number = self.release(pick)
        release = self.state.releases.get(number)
        before_bps = candidate_bps(release) if release is not None else 0
        self.do(commands.PauseRelease(release=number, at_fault=at_fault, late_answers=late))
        if release is not None:
            assert candidate_bps(release) <= before_bps, "no pause gives the candidate more traffic"

    @rule(pick=pick, cause=st.sampled_from(list(facts.RollbackCause.values())))
    def roll_back(self, pick: int, cause: facts.RollbackCause.ValueType) -> None:
        self.do(commands.RollBackRelease(release=self.release(pick), cause=cause, reason="r"))

    @rule(pick=pick, by=pick)
    def supersede(self, pick: int, by: int) -> None:
        self.do(commands.SupersedeRelease(release=self.release(pick), by=self.release(by)))

    @rule(where=st.sampled_from(ENVIRONMENTS), length=st.sampled_from([5, 5_000]), lift=st.booleans())
    def freeze(self, where: str, length: int, lift: bool) -> None:
        self.in_environment(where, commands.CreateEnvironment())
        self.in_environment(where, commands.SetPolicy(policy=POLICY))
        until_ms = self.now_ms + length
        self.in_environment(
            where,
            commands.LiftFreeze(freeze="z")
            if lift
            else commands.DeclareFreeze(freeze="z", reason="r", from_ms=self.now_ms, until_ms=until_ms),
        )

    @invariant()
    def an_ended_release_does_not_change(self) -> None:
        for number, release in self.state.releases.items():
            if number in self.ended:
                assert release == self.ended[number]
            elif release.phase in TERMINAL:
                self.ended[number] = copy.deepcopy(release)

    @invariant()
    def a_cancelled_version_is_released_nowhere(self) -> None:
        for number, version in self.state.versions.items():
            if version.build == resources.BUILD_STATE_CANCELLED:
                assert version.failure.startswith("cancelled by ")
                assert not version.HasField("lease")
                assert number not in self.state.model.live.values()
                assert all(r.phase in TERMINAL for r in self.state.releases.values() if r.candidate == number)

    @invariant()
    def each_approval_is_by_another_person(self) -> None:
        for number, version in self.state.versions.items():
            people: list[str] = []
            for fact, at in self.facts:
                if isinstance(fact, facts.EvaluationStarted) and fact.version == number:
                    people.clear()  # it is compared again, so approvals are asked for again
                elif isinstance(fact, facts.ApprovalGranted) and fact.version == number:
                    people.append(at.actor)
            assert list(version.approved_by) == people
            assert version.approvals == len(people) == len(set(people)) <= version.gate.policy.approvals
            if version.verdict == resources.VERDICT_STATE_APPROVED:
                assert len(people) == version.gate.policy.approvals

    @invariant()
    def a_release_that_goes_forward_has_a_candidate_with_a_good_verdict(self) -> None:
        for release in self.state.releases.values():
            if release.phase in RUNNING and release.phase != resources.PHASE_ROLLING_BACK:
                assert self.state.versions[release.candidate].verdict in RELEASABLE

    @invariant()
    def one_release_runs_in_an_environment(self) -> None:
        running = [release.environment for release in self.state.releases.values() if release.phase in RUNNING]
        assert len(running) == len(set(running))

    @invariant()
    def weights_sum_to_the_whole_and_name_only_the_two_arms(self) -> None:
        for release in self.state.releases.values():
            if release.weights:
                assert sum(weight.weight_bps for weight in release.weights) == FULL_WEIGHT_BPS
                assert {weight.version for weight in release.weights} <= {release.candidate, release.stable} - {0}
                assert all(weight.weight_bps > 0 for weight in release.weights)

    @invariant()
    def a_release_that_goes_on_has_the_weight_of_its_step(self) -> None:
        for release in self.state.releases.values():
            if release.phase == resources.PHASE_STEPPING and not release.paused:
                assert candidate_bps(release) == release.policy.steps[release.step].weight_bps

    @invariant()
    def a_candidate_gains_no_traffic_after_its_rollback_began(self) -> None:
        for number, release in self.state.releases.items():
            if release.phase in (resources.PHASE_ROLLING_BACK, resources.PHASE_ROLLED_BACK):
                share = candidate_bps(release)
                assert share <= self.rollback_share.setdefault(number, share) == 0

    @invariant()
    def a_version_in_use_is_kept(self) -> None:
        needed = {*self.state.model.live.values()}
        for release in self.state.releases.values():
            if release.phase in RUNNING:
                needed |= {release.candidate, release.stable} - {0}
        kept = (resources.RETENTION_STATE_KEPT,)
        assert all(self.state.versions[number].retention in kept for number in needed)
        for target in self.state.model.aliases.values():
            assert self.state.versions[target].retention != resources.RETENTION_STATE_PURGED

    def teardown(self) -> None:
        again = ModelState("fraud")
        for fact, at in self.facts:
            model.evolve(again, fact, at)  # type: ignore[arg-type]
        assert digest_of(again) == digest_of(self.state)


def digest_of(state: ModelState) -> str:
    return hashlib.sha256(state_digest(Stream("models/fraud", state))).hexdigest()


Lifecycle.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck)
)
TestLifecycle = Lifecycle.TestCase


def test_the_union_and_the_record_have_the_same_facts() -> None:
    fields = facts.LifecycleRecord.DESCRIPTOR.oneofs_by_name["fact"].fields
    assert {fact.__name__ for fact in get_args(Fact)} == {each.message_type.name for each in fields}


def test_every_command_of_the_protos_leads_to_a_decision() -> None:
    fields = commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields
    of_models = {command.__name__ for command in get_args(ModelCommand)}
    of_environments = {command.__name__ for command in get_args(EnvironmentCommand)}
    of_access = {command.__name__ for command in get_args(AccessCommand)}
    assert of_models | of_environments | of_access == {each.message_type.name for each in fields}
    assert len(of_models) + len(of_environments) + len(of_access) == len(fields)
    for command in get_args(ModelCommand):
        state = ModelState("fraud")
        model.evolve(state, passed(1)[0], stamp(1, 1))  # type: ignore[arg-type]
        model.decide(state, command(), 1, {}, "")
    for command in get_args(EnvironmentCommand):
        environments.decide(EnvironmentState("production"), command(), 1)
    for command in get_args(AccessCommand):
        access.decide(AccessState("default"), command(), 1)
