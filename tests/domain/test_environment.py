"""An environment: its creation, its policy and its freezes."""

from headgate.domain import environment
from headgate.domain.policy import DEFAULT, digest
from headgate.domain.refusal import Refused
from headgate.domain.state import EnvironmentState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import stamp

NOW_MS = 1
FREEZE = commands.DeclareFreeze(freeze="holidays", reason="quiet", from_ms=10, until_ms=20)


def given(*facts: object) -> EnvironmentState:
    state = EnvironmentState("production")
    for number, fact in enumerate(facts, 1):
        environment.evolve(state, fact, stamp(number, number))  # type: ignore[arg-type]
    return state


def declared(name: str) -> facts.FreezeDeclared:
    return facts.FreezeDeclared(freeze=name, reason="quiet", from_ms=10, until_ms=20)


def code(state: EnvironmentState, command: object) -> str:
    decision = environment.decide(state, command, NOW_MS)  # type: ignore[arg-type]
    assert isinstance(decision, Refused), decision
    return decision.code


def test_an_environment_is_created_once() -> None:
    fact = facts.EnvironmentCreated(description="customers")
    assert environment.decide(given(), commands.CreateEnvironment(description="customers"), NOW_MS) == fact
    assert code(given(fact), commands.CreateEnvironment()) == "already-exists"
    assert given(fact).environment.etag == "1"


def test_a_policy_is_completed_before_it_is_recorded() -> None:
    fact = environment.decide(given(), commands.SetPolicy(policy=configuration.ReleasePolicy(bake_ms=7)), NOW_MS)
    assert isinstance(fact, facts.PolicySet)
    assert (fact.policy.bake_ms, fact.policy.steps) == (7, DEFAULT.steps)
    assert fact.policy_sha256 == digest(fact.policy)
    assert (
        environment.decide(given(fact), commands.SetPolicy(policy=configuration.ReleasePolicy(bake_ms=7)), NOW_MS)
        is None
    )


def test_an_invalid_policy_is_refused() -> None:
    policy = configuration.ReleasePolicy(judge=configuration.JudgePolicy(alpha=2))
    assert code(given(), commands.SetPolicy(policy=policy)) == "invalid-argument"


def test_a_freeze_is_declared_and_lifted() -> None:
    assert environment.decide(given(), FREEZE, NOW_MS) == declared("holidays")
    state = given(declared("holidays"), declared("audit"))
    assert environment.decide(state, FREEZE, NOW_MS) is None
    lift = commands.LiftFreeze(freeze="holidays", reason="over")
    assert environment.decide(state, lift, NOW_MS) == facts.FreezeLifted(freeze="holidays", reason="over")
    environment.evolve(state, facts.FreezeLifted(freeze="holidays"), stamp(3, 3))
    assert [freeze.freeze for freeze in state.environment.freezes] == ["audit"]
    assert code(state, lift) == "not-found"


def test_a_freeze_needs_a_new_name_and_an_end_after_its_beginning() -> None:
    state = given(declared("holidays"))
    assert code(state, commands.DeclareFreeze(freeze="holidays", from_ms=1, until_ms=2)) == "already-exists"
    assert code(state, commands.DeclareFreeze(freeze="x", from_ms=2, until_ms=2)) == "invalid-argument"
    assert code(state, commands.DeclareFreeze(freeze="x", until_ms=NOW_MS)) == "invalid-argument"
    assert code(state, commands.DeclareFreeze(freeze="", from_ms=1, until_ms=2)) == "invalid-argument"


def test_a_freeze_needs_its_reason() -> None:
    for reason in ("", "  "):
        refused = environment.decide(given(), commands.DeclareFreeze(freeze="x", reason=reason, until_ms=9_000), 5_000)
        assert isinstance(refused, Refused)
        assert (refused.field, refused.message[:15]) == ("reason", "reason is empty")


def test_a_wrong_end_of_a_freeze_is_shown_as_a_date_too() -> None:
    refused = environment.decide(given(), commands.DeclareFreeze(freeze="x", until_ms=1), 5_000)
    assert isinstance(refused, Refused)
    assert refused.message.startswith("until_ms is 1 (1970-01-01 00:00:00 UTC): a freeze must end in the future")


def test_an_environment_has_a_limited_number_of_freezes() -> None:
    state = given(*(declared(f"f{number}") for number in range(100)))
    assert code(state, FREEZE) == "invalid-argument"
