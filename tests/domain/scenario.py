"""given facts, when a command, then a fact: sentences about the rules of a model's stream."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.domain import model
from headgate.domain.refusal import Refused
from headgate.domain.state import EnvironmentState, ModelState
from headgate.v1 import configuration_pb2 as c
from headgate.v1 import facts_pb2 as f
from headgate.v1 import resources_pb2 as r

NAME = "fraud"
REPOSITORY = "https://git.example/fraud"
PRODUCTION = "production"
LEASE_MS = 1_000
POLICY = c.ReleasePolicy(
    steps=[c.Step(weight_bps=500), c.Step(weight_bps=5000)],
    judge=c.JudgePolicy(alpha=0.01, beta=0.05, fail_ratio=1.1, pass_ratio=1.5, pass_ceiling=0.005, fail_ceiling=0.02),
    bake_ms=1,
    prepare_deadline_ms=1,
    no_data_limit_ms=1,
    hold_deadline_ms=1,
    candidate_lease_ms=1,
)
PASS = f.Judgement(verdict=f.VERDICT_PASS)


@dataclass
class Outcome:
    """What became of the command, and the state it was decided on."""

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
    """A folded past. Facts are stamped with sequences from 1 and the same time in ms."""

    state: ModelState
    sequence: int = 0

    def and_given(self, *facts: object, actor: str = "") -> History:
        for fact in facts:
            self.sequence += 1
            model.evolve(self.state, fact, stamp(self.sequence, self.sequence, actor))  # type: ignore[arg-type]
        return self

    def when(self, command: object, at_ms: int = 100, freeze: r.Freeze | None = None, actor: str = "") -> Outcome:
        environments = {}
        if freeze is not None:
            environment = r.Environment(name=f"environments/{PRODUCTION}", freezes=[freeze])
            environments[PRODUCTION] = EnvironmentState(PRODUCTION, environment)
        decision = model.decide(self.state, command, at_ms, environments, actor)  # type: ignore[arg-type]
        return Outcome(decision, self.state)

    def version(self, number: int = 1) -> r.Version:
        return self.state.versions[number]

    def release(self, number: int = 1) -> r.Release:
        return self.state.releases[number]


def stamp(sequence: int, at_ms: int, actor: str = "") -> f.LifecycleRecord:
    """What a fold reads of the record around a fact: where it stands, when it happened and who wished for it."""
    return f.LifecycleRecord(sequence=sequence, occurred_at_ms=at_ms, actor=actor)


def given(*facts: object) -> History:
    return History(ModelState(NAME)).and_given(*facts)


def commit(number: int) -> str:
    return f"{number:040x}"


def created(number: int = 1) -> f.VersionCreated:
    return f.VersionCreated(version=number, origin=f.ORIGIN_COMMIT, repository=REPOSITORY, commit=commit(number))


def configuration(*rules: c.GateRule, approvals: int = 0) -> c.ModelConfiguration:
    return c.ModelConfiguration(model=NAME, gate=c.GatePolicy(rules=rules, approvals=approvals))


def claimed(number: int = 1, attempt: int = 1, worker: str = "trainer-0") -> f.TestingStarted:
    return f.TestingStarted(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def code_tested(number: int = 1, attempt: int = 1, approvals: int = 0) -> f.CodeTested:
    rule = c.GateRule(metric="auc", min=0.9)
    wish = configuration(rule, approvals=approvals)
    return f.CodeTested(version=number, attempt=attempt, passed=True, configuration=wish)


def training(number: int = 1, attempt: int = 1) -> f.TrainingStarted:
    return f.TrainingStarted(version=number, attempt=attempt)


def trained(number: int = 1, attempt: int = 1) -> f.TrainingFinished:
    return f.TrainingFinished(version=number, attempt=attempt, artifact=f.Artifact(manifest_sha256="ab" * 32))


def evaluating(number: int = 1, attempt: int = 1, worker: str = "evaluator-0") -> f.EvaluationStarted:
    return f.EvaluationStarted(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def report(auc: float) -> f.EvaluationReport:
    return f.EvaluationReport(rows=10, metrics=[f.Metric(name="auc", value=auc)])


def evaluated(number: int = 1, attempt: int = 1, auc: float = 0.95) -> f.EvaluationFinished:
    return f.EvaluationFinished(version=number, attempt=attempt, report=report(auc))


def gate(number: int = 1, passed: bool = True, approvals: int = 0) -> f.GateDecided:
    return f.GateDecided(version=number, passed=passed, policy=c.GatePolicy(approvals=approvals))


def built(number: int = 1, auc: float = 0.95, approvals: int = 0) -> list[object]:
    """Everything up to the evaluation."""
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
    release: int, candidate: int, strategy: c.Strategy.ValueType = c.STRATEGY_CANARY, environment: str = PRODUCTION
) -> f.ReleaseRequested:
    return f.ReleaseRequested(
        release=release, environment=environment, candidate=candidate, strategy=strategy, policy=POLICY, salt="s"
    )


def started(release: int, stable: int = 0) -> f.ReleaseStarted:
    return f.ReleaseStarted(release=release, stable=stable)


def ready(release: int) -> f.CandidateReady:
    return f.CandidateReady(release=release, gateways=["g0"])


def weights(**shares: int) -> list[f.Weight]:
    """weights(v1=9500, v2=500)"""
    return [f.Weight(version=int(name[1:]), weight_bps=share) for name, share in shares.items()]


def completed(past: History, release: int, candidate: int, stable: int = 0) -> History:
    """A direct release, all the way."""
    past.and_given(requested(release, candidate, c.STRATEGY_DIRECT), started(release, stable), ready(release))
    past.and_given(f.PromotionStarted(release=release, weights=weights(**{f"v{candidate}": 10_000})))
    applied(past, release)
    return past.and_given(f.ReleaseCompleted(release=release))


def applied(past: History, release: int) -> History:
    return past.and_given(f.WeightsApplied(release=release, epoch=past.release(release).epoch, gateways=["g0"]))


def one_live() -> History:
    """Version 1 live in production, version 2 passed."""
    return completed(given(*passed(1), *passed(2)), 1, 1)


def canary() -> History:
    """Release 2: version 2 beside the live version 1, loaded everywhere, no traffic yet."""
    return one_live().and_given(requested(2, 2), started(2, 1), ready(2))


def stepping(step: int = 0) -> History:
    """The canary at a step that every gateway has applied."""
    past = canary()
    for index in range(step + 1):
        share = POLICY.steps[index].weight_bps
        past.and_given(f.WeightsSet(release=2, step=index, weights=weights(v1=10_000 - share, v2=share)))
        applied(past, 2)
    return past


def promoting() -> History:
    return stepping(1).and_given(f.PromotionStarted(release=2, weights=weights(v2=10_000), judgement=PASS))


def baking() -> History:
    return applied(promoting(), 2)
