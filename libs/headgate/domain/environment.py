"""The rules of an environment: its release policy and its freezes."""

from typing import assert_never

from headgate.domain import approvals
from headgate.domain import policy as policies
from headgate.domain.fact import EnvironmentFact
from headgate.domain.names import NAME_RULE, environment_stream, is_name
from headgate.domain.refusal import ALREADY_EXISTS, INVALID, NOT_FOUND, USED_ONCE, Refused, invalid, text_too_long
from headgate.domain.state import EnvironmentState
from headgate.domain.words import time_text
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MAX_FREEZES = 100
ENDS_AFTER_ITS_BEGIN = "a freeze must end after it begins"
ENDS_IN_THE_FUTURE = "a freeze must end in the future; otherwise it holds nothing"

EnvironmentCommand = commands.CreateEnvironment | commands.SetPolicy | commands.DeclareFreeze | commands.LiftFreeze


def decide(state: EnvironmentState, command: EnvironmentCommand, at_ms: int) -> EnvironmentFact | Refused | None:
    """The fact that an environment command leads to, a refusal, or None when the fact holds already."""
    if too_long := text_too_long(command):
        return too_long
    match command:
        case commands.CreateEnvironment():
            if state.exists:
                return Refused(ALREADY_EXISTS, USED_ONCE, f"environment {state.name} exists", "environment")
            return facts.EnvironmentCreated(description=command.description)
        case commands.SetPolicy():
            return _set_policy(state, command)
        case commands.DeclareFreeze():
            return _declare(state, command, at_ms)
        case commands.LiftFreeze():
            if not any(freeze.freeze == command.freeze for freeze in state.environment.freezes):
                return _no_freeze(state, command.freeze)
            return facts.FreezeLifted(freeze=command.freeze, reason=command.reason)
        case _:
            assert_never(command)


def evolve(state: EnvironmentState, fact: EnvironmentFact, record: facts.LifecycleRecord) -> None:
    """Folds an environment fact."""
    environment = state.environment
    environment.name = environment_stream(state.name)
    environment.etag = str(record.sequence)
    match fact:
        case facts.EnvironmentCreated():
            environment.description = fact.description
        case facts.PolicySet():
            environment.policy.CopyFrom(fact.policy)
            environment.policy_sha256 = fact.policy_sha256
            environment.ClearField("approvals")
            if fact.HasField("approvals"):
                environment.approvals.CopyFrom(fact.approvals)
        case facts.FreezeDeclared():
            environment.freezes.append(
                resources.Freeze(freeze=fact.freeze, reason=fact.reason, from_ms=fact.from_ms, until_ms=fact.until_ms)
            )
        case facts.FreezeLifted():
            kept = [freeze for freeze in environment.freezes if freeze.freeze != fact.freeze]
            del environment.freezes[:]
            environment.freezes.extend(kept)
        case _:
            assert_never(fact)


def _no_freeze(state: EnvironmentState, freeze: str) -> Refused:
    """The refusal to lift a freeze that is not there: it may be in another environment, or may have been lifted."""
    there = ", ".join(each.freeze for each in state.environment.freezes)
    found = f"it has {there}" if there else "it has no freeze"
    see = "`headgate freeze list` shows those of all environments"
    message = f"environment {state.name} has no freeze {freeze}: {found}. {see}"
    return Refused(NOT_FOUND, "a command must name things that exist", message, "freeze")


def _set_policy(state: EnvironmentState, command: commands.SetPolicy) -> facts.PolicySet | Refused | None:
    policy = policies.resolve(command.policy)
    asked = command.approvals if command.HasField("approvals") else None
    refused = policies.check(policy) or (approvals.check(asked) if asked is not None else None)
    if refused is not None:
        return refused
    digest, known = policies.digest(policy), state.environment
    is_same = known.policy_sha256 == digest and known.approvals == command.approvals
    return None if is_same else facts.PolicySet(policy=policy, policy_sha256=digest, approvals=asked)


def _declare(
    state: EnvironmentState, command: commands.DeclareFreeze, at_ms: int
) -> facts.FreezeDeclared | Refused | None:
    if not is_name(command.freeze):
        return invalid("freeze", command.freeze, NAME_RULE)
    if command.until_ms <= command.from_ms:
        return _wrong_end(command, ENDS_AFTER_ITS_BEGIN)
    if len(state.environment.freezes) >= MAX_FREEZES:
        return invalid("freeze", command.freeze, f"an environment has at most {MAX_FREEZES} freezes")
    for freeze in state.environment.freezes:
        if freeze.freeze == command.freeze:
            same = (freeze.from_ms, freeze.until_ms) == (command.from_ms, command.until_ms)
            return None if same else Refused(ALREADY_EXISTS, USED_ONCE, f"freeze {freeze.freeze} exists")
    if command.until_ms <= at_ms:
        return _wrong_end(command, ENDS_IN_THE_FUTURE)
    if not command.reason.strip():
        return invalid("reason", command.reason.strip(), "a freeze needs its reason: others wait for its end")
    return facts.FreezeDeclared(
        freeze=command.freeze, reason=command.reason, from_ms=command.from_ms, until_ms=command.until_ms
    )


def _wrong_end(command: commands.DeclareFreeze, rule: str) -> Refused:
    shown = f"{command.until_ms} ({time_text(command.until_ms)} UTC)" if command.until_ms else "not given"
    return Refused(INVALID, rule, f"until_ms is {shown}: {rule}", "until_ms")
