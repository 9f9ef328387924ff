"""An environment: its release policy and its freezes."""

from typing import assert_never

from headgate.domain import policy as policies
from headgate.domain.fact import EnvironmentFact
from headgate.domain.names import NAME_RULE, environment_stream, is_name
from headgate.domain.refusal import ALREADY_EXISTS, Refused, invalid, not_found
from headgate.domain.state import EnvironmentState
from headgate.v1 import commands_pb2 as k
from headgate.v1 import facts_pb2 as f
from headgate.v1 import resources_pb2 as r

MAX_FREEZES = 100

EnvironmentCommand = k.CreateEnvironment | k.SetPolicy | k.DeclareFreeze | k.LiftFreeze


def decide(state: EnvironmentState, command: EnvironmentCommand) -> EnvironmentFact | Refused | None:
    """The fact an environment command leads to, a refusal, or None when the fact already holds."""
    match command:
        case k.CreateEnvironment():
            if state.exists:
                rule = "a name is given once"
                return Refused(ALREADY_EXISTS, rule, f"{environment_stream(state.name)} exists", "environment")
            return f.EnvironmentCreated(description=command.description)
        case k.SetPolicy():
            return _set_policy(state, command)
        case k.DeclareFreeze():
            return _declare(state, command)
        case k.LiftFreeze():
            if not any(freeze.freeze == command.freeze for freeze in state.environment.freezes):
                return not_found(f"freeze {command.freeze}", "freeze")
            return f.FreezeLifted(freeze=command.freeze, reason=command.reason)
        case _:
            assert_never(command)


def evolve(state: EnvironmentState, fact: EnvironmentFact, record: f.LifecycleRecord) -> None:
    """Folds an environment fact."""
    environment = state.environment
    environment.name = environment_stream(state.name)
    environment.etag = str(record.sequence)
    match fact:
        case f.EnvironmentCreated():
            environment.description = fact.description
        case f.PolicySet():
            environment.policy.CopyFrom(fact.policy)
            environment.policy_sha256 = fact.policy_sha256
        case f.FreezeDeclared():
            environment.freezes.append(
                r.Freeze(freeze=fact.freeze, reason=fact.reason, from_ms=fact.from_ms, until_ms=fact.until_ms)
            )
        case f.FreezeLifted():
            kept = [freeze for freeze in environment.freezes if freeze.freeze != fact.freeze]
            del environment.freezes[:]
            environment.freezes.extend(kept)
        case _:
            assert_never(fact)


def _set_policy(state: EnvironmentState, command: k.SetPolicy) -> f.PolicySet | Refused | None:
    policy = policies.resolve(command.policy)
    refused = policies.check(policy)
    if refused is not None:
        return refused
    digest = policies.digest(policy)
    return None if state.environment.policy_sha256 == digest else f.PolicySet(policy=policy, policy_sha256=digest)


def _declare(state: EnvironmentState, command: k.DeclareFreeze) -> f.FreezeDeclared | Refused | None:
    if not is_name(command.freeze):
        return invalid("freeze", command.freeze, NAME_RULE)
    if command.until_ms <= command.from_ms:
        return invalid("until_ms", command.until_ms, "a freeze ends after it begins")
    if len(state.environment.freezes) >= MAX_FREEZES:
        return invalid("freeze", command.freeze, f"an environment has at most {MAX_FREEZES} freezes")
    for freeze in state.environment.freezes:
        if freeze.freeze == command.freeze:
            same = (freeze.from_ms, freeze.until_ms) == (command.from_ms, command.until_ms)
            return None if same else Refused(ALREADY_EXISTS, "a name is given once", f"freeze {freeze.freeze} exists")
    return f.FreezeDeclared(
        freeze=command.freeze, reason=command.reason, from_ms=command.from_ms, until_ms=command.until_ms
    )
