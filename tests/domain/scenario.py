"""The vocabulary of the tests of the rules: given these facts, when this command comes, then this fact."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.domain import model
from headgate.domain.refusal import Refused
from headgate.domain.state import EnvironmentState, ModelState
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

NAME = "fraud"
REPOSITORY = "https://git.example/fraud"
PRODUCTION = "production"
LEASE_MS = 1_000
POLICY = configuration.ReleasePolicy(
    steps=[configuration.Step(weight_bps=500), configuration.Step(weight_bps=5000)],
    judge=configuration.JudgePolicy(
        alpha=0.01, beta=0.05, fail_ratio=1.1, pass_ratio=1.5, pass_ceiling=0.005, fail_ceiling=0.02
    ),
    bake_ms=1,
    prepare_deadline_ms=1,
    no_data_limit_ms=1,
    hold_deadline_ms=1,
    candidate_lease_ms=1,
)
PASS = facts.Judgement(verdict=facts.VERDICT_PASS)


@dataclass
class Outcome:
    """The decision on a command, and the state that it was decided on."""

    decision: object
    state: ModelState

    def then(self, fact: object) -> None:
        assert self.decision == fact

    def then_refused(self, code: str, about: str = "") -> None:
        assert isinstance(self.decision, Refused), self.decision
        assert self.decision.code == code
        assert about in f"{self.decision.message} {self.decision.rule}"

    def then_nothing(self) -> None:
        assert self.decision is None


@dataclass
class History:
    """Facts that are folded. A fact has a sequence from 1 on, and this number is also its time in ms."""

    state: ModelState
    sequence: int = 0

    def and_given(self, *history: object, actor: str = "") -> History:
        for fact in history:
            self.sequence += 1
            model.evolve(self.state, fact, stamp(self.sequence, self.sequence, actor))  # type: ignore[arg-type]
        return self

    def when(
        self, command: object, at_ms: int = 100, freeze: resources.Freeze | None = None, actor: str = ""
    ) -> Outcome:
        environments = {}
        if freeze is not None:
            environment = resources.Environment(name=f"environments/{PRODUCTION}", freezes=[freeze])
            environments[PRODUCTION] = EnvironmentState(PRODUCTION, environment)
        decision = model.decide(self.state, command, at_ms, environments, actor)  # type: ignore[arg-type]
        return Outcome(decision, self.state)

    def version(self, number: int = 1) -> resources.Version:
        return self.state.versions[number]

    def release(self, number: int = 1) -> resources.Release:
        return self.state.releases[number]


def stamp(sequence: int, at_ms: int, actor: str = "") -> facts.LifecycleRecord:
    """What a fold reads of the record of a fact: its sequence, its time and its actor."""
    return facts.LifecycleRecord(sequence=sequence, occurred_at_ms=at_ms, actor=actor)


def given(*history: object) -> History:
    return History(ModelState(NAME)).and_given(*history)


def commit(number: int) -> str:
    return f"{number:040x}"


def created(number: int = 1) -> facts.VersionCreated:
    return facts.VersionCreated(
        version=number, origin=facts.ORIGIN_COMMIT, repository=REPOSITORY, commit=commit(number)
    )


def gated_configuration(*rules: configuration.GateRule, approvals: int = 0) -> configuration.ModelConfiguration:
    return configuration.ModelConfiguration(model=NAME, gate=configuration.GatePolicy(rules=rules, approvals=approvals))


def claimed(number: int = 1, attempt: int = 1, worker: str = "trainer-0") -> facts.TestingStarted:
    return facts.TestingStarted(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def code_tested(number: int = 1, attempt: int = 1, approvals: int = 0) -> facts.CodeTested:
    rule = configuration.GateRule(metric="auc", min=0.9)
    declared = gated_configuration(rule, approvals=approvals)
    return facts.CodeTested(version=number, attempt=attempt, passed=True, configuration=declared)


def training(number: int = 1, attempt: int = 1) -> facts.TrainingStarted:
    return facts.TrainingStarted(version=number, attempt=attempt)


def trained(number: int = 1, attempt: int = 1) -> facts.TrainingFinished:
    return facts.TrainingFinished(version=number, attempt=attempt, artifact=facts.Artifact(manifest_sha256="ab" * 32))


def evaluating(number: int = 1, attempt: int = 1, worker: str = "evaluator-0") -> facts.EvaluationStarted:
    return facts.EvaluationStarted(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def report(auc: float) -> facts.EvaluationReport:
    return facts.EvaluationReport(rows=10, metrics=[facts.Metric(name="auc", value=auc)])


def evaluated(number: int = 1, attempt: int = 1, auc: float = 0.95) -> facts.EvaluationFinished:
    return facts.EvaluationFinished(version=number, attempt=attempt, report=report(auc))


def gate(number: int = 1, passed: bool = True, approvals: int = 0) -> facts.GateDecided:
    return facts.GateDecided(version=number, passed=passed, policy=configuration.GatePolicy(approvals=approvals))


def built(number: int = 1, auc: float = 0.95, approvals: int = 0) -> list[object]:
    """All facts of a version up to its evaluation."""
    return [
        created(number),
        claimed(number),
        code_tested(number, approvals=approvals),
        training(number),
        trained(number),
        evaluating(number),
        evaluated(number, auc=auc),
    ]


def passed(number: int = 1) -> list[object]:
    return [*built(number), gate(number)]


def requested(
    release: int,
    candidate: int,
    strategy: configuration.Strategy.ValueType = configuration.STRATEGY_CANARY,
    environment: str = PRODUCTION,
) -> facts.ReleaseRequested:
    return facts.ReleaseRequested(
        release=release, environment=environment, candidate=candidate, strategy=strategy, policy=POLICY, salt="s"
    )


def started(release: int, stable: int = 0) -> facts.ReleaseStarted:
    return facts.ReleaseStarted(release=release, stable=stable)


def ready(release: int) -> facts.CandidateReady:
    return facts.CandidateReady(release=release, gateways=["g0"])


def weights(**shares: int) -> list[facts.Weight]:
    """weights(v1=9500, v2=500)"""
    return [facts.Weight(version=int(name[1:]), weight_bps=share) for name, share in shares.items()]


def completed(past: History, release: int, candidate: int, stable: int = 0) -> History:
    """A direct release, from its request to its end."""
    past.and_given(
        requested(release, candidate, configuration.STRATEGY_DIRECT), started(release, stable), ready(release)
    )
    past.and_given(facts.PromotionStarted(release=release, weights=weights(**{f"v{candidate}": 10_000})))
    applied(past, release)
    return past.and_given(facts.ReleaseCompleted(release=release))


def applied(past: History, release: int) -> History:
    return past.and_given(facts.WeightsApplied(release=release, epoch=past.release(release).epoch, gateways=["g0"]))


def one_live() -> History:
    """Version 1 is live in production, and version 2 has passed its gate."""
    return completed(given(*passed(1), *passed(2)), 1, 1)


def canary() -> History:
    """Release 2: version 2 is the candidate beside the live version 1. It is loaded and has no traffic yet."""
    return one_live().and_given(requested(2, 2), started(2, 1), ready(2))


def stepping(step: int = 0) -> History:
    """The canary at a step whose weights all gateways have applied."""
    past = canary()
    for index in range(step + 1):
        share = POLICY.steps[index].weight_bps
        past.and_given(facts.WeightsSet(release=2, step=index, weights=weights(v1=10_000 - share, v2=share)))
        applied(past, 2)
    return past


def promoting() -> History:
    return stepping(1).and_given(facts.PromotionStarted(release=2, weights=weights(v2=10_000), judgement=PASS))


def baking() -> History:
    return applied(promoting(), 2)
