"""An environment: created once, a policy, freezes."""

from headgate.domain import environment
from headgate.domain.policy import DEFAULT, digest
from headgate.domain.refusal import Refused
from headgate.domain.state import EnvironmentState
from headgate.v1 import commands_pb2 as k
from headgate.v1 import configuration_pb2 as c
from headgate.v1 import facts_pb2 as f
from tests.domain.scenario import stamp

FREEZE = k.DeclareFreeze(freeze="holidays", reason="quiet", from_ms=10, until_ms=20)


def given(*facts: object) -> EnvironmentState:
    state = EnvironmentState("production")
    for number, fact in enumerate(facts, 1):
        environment.evolve(state, fact, stamp(number, number))  # type: ignore[arg-type]
    return state


def declared(name: str) -> f.FreezeDeclared:
    return f.FreezeDeclared(freeze=name, reason="quiet", from_ms=10, until_ms=20)


def code(state: EnvironmentState, command: object) -> str:
    decision = environment.decide(state, command)  # type: ignore[arg-type]
    assert isinstance(decision, Refused), decision
    return decision.code


def test_an_environment_is_created_once() -> None:
    fact = f.EnvironmentCreated(description="customers")
    assert environment.decide(given(), k.CreateEnvironment(description="customers")) == fact
    assert code(given(fact), k.CreateEnvironment()) == "already-exists"
    assert given(fact).environment.etag == "1"


def test_a_policy_is_completed_before_it_is_recorded() -> None:
    fact = environment.decide(given(), k.SetPolicy(policy=c.ReleasePolicy(bake_ms=7)))
    assert isinstance(fact, f.PolicySet)
    assert (fact.policy.bake_ms, fact.policy.steps) == (7, DEFAULT.steps)
    assert fact.policy_sha256 == digest(fact.policy)
    assert environment.decide(given(fact), k.SetPolicy(policy=c.ReleasePolicy(bake_ms=7))) is None


def test_an_unsound_policy_is_refused() -> None:
    policy = c.ReleasePolicy(judge=c.JudgePolicy(alpha=2))
    assert code(given(), k.SetPolicy(policy=policy)) == "invalid-argument"


def test_a_freeze_is_declared_and_lifted() -> None:
    assert environment.decide(given(), FREEZE) == declared("holidays")
    state = given(declared("holidays"), declared("audit"))
    assert environment.decide(state, FREEZE) is None
    lift = k.LiftFreeze(freeze="holidays", reason="over")
    assert environment.decide(state, lift) == f.FreezeLifted(freeze="holidays", reason="over")
    environment.evolve(state, f.FreezeLifted(freeze="holidays"), stamp(3, 3))
    assert [freeze.freeze for freeze in state.environment.freezes] == ["audit"]
    assert code(state, lift) == "not-found"


def test_a_freeze_has_one_name_and_ends_after_it_begins() -> None:
    state = given(declared("holidays"))
    assert code(state, k.DeclareFreeze(freeze="holidays", from_ms=1, until_ms=2)) == "already-exists"
    assert code(state, k.DeclareFreeze(freeze="x", from_ms=2, until_ms=2)) == "invalid-argument"
    assert code(state, k.DeclareFreeze(freeze="", from_ms=1, until_ms=2)) == "invalid-argument"


def test_an_environment_has_a_bounded_number_of_freezes() -> None:
    state = given(*(declared(f"f{number}") for number in range(100)))
    assert code(state, FREEZE) == "invalid-argument"
