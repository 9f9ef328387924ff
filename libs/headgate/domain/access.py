"""The rules of the access stream: who holds which role, and which tokens hold."""

import hashlib
import re
from typing import TypeVar, assert_never

from headgate.domain.fact import AccessFact
from headgate.domain.names import (
    ACCESS_STREAM,
    NAME,
    NAME_RULE,
    SHA256,
    TOKEN_PREFIX,
    is_model_name,
    is_model_prefix,
    is_name,
    split_stream,
)
from headgate.domain.refusal import ALREADY_EXISTS, INVALID, Refused, invalid, not_found, text_too_long
from headgate.domain.state import AccessState, IllegalFact
from headgate.domain.words import time_text, word_of
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

AccessCommand = commands.GrantRole | commands.RevokeRole | commands.CreateToken | commands.RevokeToken

MAX_GRANTS = 10_000
MAX_TOKENS = 10_000
MAX_SUBJECT = 256
MAX_TOKEN_DAYS = 400
"""How long a token may hold, so that nobody forgets one that holds for ever."""
DAY_MS = 86_400_000
ANONYMOUS_RULE = "everybody, proven or not, can only be a predictor"
SUBJECT_RULE = f"a subject has 1 to {MAX_SUBJECT} printable characters and no spaces"
ROLE_RULE = "a role is one of " + ", ".join(
    word_of(facts.Role, number) for number in facts.Role.values() if number != facts.ROLE_UNSPECIFIED
)
MODELS_RULE = (
    "models are * for all, a name, a prefix as in fraud-*, a project as in risk.*, default.* for names without a dot, "
    "or a label as in team=risk"
)
ENVIRONMENTS_RULE = "environments are * for all, a name, or a prefix as in prod-*"
ONE_STREAM_RULE = f"grants and tokens are in the stream {ACCESS_STREAM}"
TOKEN_NAME_RULE = "a new token has no grants from before; revoke them first, or choose another name"
SHA256_RULE = "expected the SHA-256 of the secret as 64 characters of 0-9 and a-f"

Kept = TypeVar("Kept", resources.Grant, resources.Token)

_SUBJECT = re.compile(r"[!-~\u00a1-\U0010ffff]{1,256}")
_ENVIRONMENTS = re.compile(rf"\*|{NAME.pattern}\*?")
_LABEL = re.compile(rf"{NAME.pattern}=.{{1,256}}")


def decide(state: AccessState, command: AccessCommand, at_ms: int) -> AccessFact | Refused | None:
    """The fact that an access command leads to, a refusal, or None when the fact holds already."""
    if split_stream(ACCESS_STREAM)[1] != state.name:
        return Refused(INVALID, ONE_STREAM_RULE, f"access/{state.name} is another stream", "stream")
    if too_long := text_too_long(command):
        return too_long
    match command:
        case commands.GrantRole():
            return _grant(state, command)
        case commands.RevokeRole():
            revoked = facts.RoleRevoked(grant=command.grant, reason=command.reason)
            return revoked if command.grant in state.grants else not_found(f"grant {command.grant}", "grant")
        case commands.CreateToken():
            return _create_token(state, command, at_ms)
        case commands.RevokeToken():
            ended = facts.TokenRevoked(token=command.token, reason=command.reason)
            return ended if command.token in state.tokens else not_found(f"token {command.token}", "token")
        case _:
            assert_never(command)


def evolve(state: AccessState, fact: AccessFact, record: facts.LifecycleRecord) -> None:
    """Folds an access fact. Raises IllegalFact when the state forbids it."""
    state.sequence = record.sequence
    match fact:
        case facts.RoleGranted():
            _add(state.grants, fact.grant, _granted(fact, record))
        case facts.RoleRevoked():
            _remove(state.grants, fact.grant)
        case facts.TokenCreated():
            _add(state.tokens, fact.token, _created(fact, record))
        case facts.TokenRevoked():
            _remove(state.tokens, fact.token)
        case _:
            assert_never(fact)


def is_subject(name: str) -> bool:
    """Whether the text may name a subject or a group."""
    return _SUBJECT.fullmatch(name) is not None


def grant_name(command: commands.GrantRole) -> str:
    """A name for a grant that was given none. Equal grants get the same, so the second one changes nothing."""
    unnamed = commands.GrantRole()
    unnamed.CopyFrom(command)
    unnamed.ClearField("grant")
    unnamed.ClearField("reason")
    digest = hashlib.sha256(unnamed.SerializeToString(deterministic=True)).hexdigest()[:10]
    return f"{word_of(facts.Role, command.role)}-{digest}"


def _grant(state: AccessState, command: commands.GrantRole) -> facts.RoleGranted | Refused | None:
    wrong = _bad_grant(command)
    if wrong is not None:
        return wrong
    fact = facts.RoleGranted(
        grant=command.grant,
        subject=command.subject,
        role=command.role,
        models=command.models,
        environments=command.environments,
        deny=command.deny,
        reason=command.reason,
    )
    known = state.grants.get(command.grant)
    if known is None:
        if len(state.grants) >= MAX_GRANTS:
            return invalid("grant", command.grant, f"there are at most {MAX_GRANTS} grants")
        return fact
    if all(getattr(known, field) == getattr(fact, field) for field in _TERMS):
        return None
    return Refused(ALREADY_EXISTS, "a name is used for one grant", f"grant {command.grant} exists", "grant")


_TERMS = ("subject", "role", "models", "environments", "deny")


def _bad_grant(command: commands.GrantRole) -> Refused | None:
    if not is_name(command.grant):
        return invalid("grant", command.grant, NAME_RULE)
    if not is_subject(command.subject):
        return invalid("subject", command.subject, SUBJECT_RULE)
    if command.subject == "anonymous" and command.role != facts.ROLE_PREDICTOR:
        return invalid("role", word_of(facts.Role, command.role), ANONYMOUS_RULE)
    return _bad_terms(command)


def _bad_terms(command: commands.GrantRole | commands.CreateToken) -> Refused | None:
    if command.role == facts.ROLE_UNSPECIFIED or command.role not in facts.Role.values():
        return invalid("role", command.role, ROLE_RULE)
    if not _is_bound_of_models(command.models):
        return invalid("models", command.models, MODELS_RULE)
    if not _ENVIRONMENTS.fullmatch(command.environments):
        return invalid("environments", command.environments, ENVIRONMENTS_RULE)
    return None


def _is_bound_of_models(text: str) -> bool:
    return text == "*" or is_model_name(text) or is_model_prefix(text) or _LABEL.fullmatch(text) is not None


def _create_token(state: AccessState, command: commands.CreateToken, at_ms: int) -> facts.TokenCreated | Refused | None:
    wrong = _bad_token(command, at_ms)
    if wrong is not None:
        return wrong
    known = state.tokens.get(command.token)
    if known is not None:
        if known.sha256 == command.sha256:
            return None
        return Refused(ALREADY_EXISTS, "a name is used for one token", f"token {command.token} exists", "token")
    if len(state.tokens) >= MAX_TOKENS:
        return invalid("token", command.token, f"there are at most {MAX_TOKENS} tokens")
    if any(each.sha256 == command.sha256 for each in state.tokens.values()):
        return invalid("sha256", "used", "each token has a secret of its own")
    if held := [each.grant for each in state.grants.values() if each.subject == TOKEN_PREFIX + command.token]:
        # Else whoever may give a small role could take over what an earlier token of this name was given.
        found = f"{TOKEN_PREFIX}{command.token} has the grant {held[0]}"
        return Refused(ALREADY_EXISTS, TOKEN_NAME_RULE, f"{found}: {TOKEN_NAME_RULE}", "token")
    return facts.TokenCreated(
        token=command.token,
        sha256=command.sha256,
        role=command.role,
        models=command.models,
        environments=command.environments,
        expire_time_ms=command.expire_time_ms,
        reason=command.reason,
    )


def _bad_token(command: commands.CreateToken, at_ms: int) -> Refused | None:
    if not is_name(command.token):
        return invalid("token", command.token, NAME_RULE)
    if not SHA256.fullmatch(command.sha256):
        return invalid("sha256", "of another form", SHA256_RULE)
    if not at_ms < command.expire_time_ms <= at_ms + MAX_TOKEN_DAYS * DAY_MS:
        rule = f"a token expires in the future, and within {MAX_TOKEN_DAYS} days"
        return invalid("expire_time_ms", time_text(command.expire_time_ms) or "not given", rule)
    return _bad_terms(command)


def _add(kept: dict[str, Kept], name: str, added: Kept) -> None:
    if name in kept:
        raise IllegalFact(f"{name} is made twice")
    kept[name] = added


def _remove(kept: dict[str, Kept], name: str) -> None:
    if kept.pop(name, None) is None:
        raise IllegalFact(f"{name} is revoked and was never made")


def _granted(fact: facts.RoleGranted, record: facts.LifecycleRecord) -> resources.Grant:
    return resources.Grant(
        grant=fact.grant,
        subject=fact.subject,
        role=fact.role,
        models=fact.models,
        environments=fact.environments,
        deny=fact.deny,
        reason=fact.reason,
        granted_by=record.actor,
        create_time_ms=record.occurred_at_ms,
    )


def _created(fact: facts.TokenCreated, record: facts.LifecycleRecord) -> resources.Token:
    return resources.Token(
        token=fact.token,
        sha256=fact.sha256,
        role=fact.role,
        models=fact.models,
        environments=fact.environments,
        expire_time_ms=fact.expire_time_ms,
        reason=fact.reason,
        created_by=record.actor,
        create_time_ms=record.occurred_at_ms,
    )
