"""The grants of a folded access stream, and why a subject may do something or may not."""

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.access.decision import deciding_grant
from headgate.access.grants import ALL, EVERYTHING, FROM_SETTINGS, NONE, Bound, Grant, Grants, Target
from headgate.access.roles import RIGHTS, Action, Role
from headgate.access.subject import How, Subject, kind_of
from headgate.access.table import Resource, Row, Scope
from headgate.domain.names import TOKEN_PREFIX, is_model_name, is_name
from headgate.domain.state import AccessState
from headgate.domain.words import word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

TARGET_RULE = "expected models/{model}, environments/{environment} or models/{model}@{environment}"


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a subject may do something, the grant that decides it if there is one, and a sentence."""

    allowed: bool
    grant: Grant | None
    sentence: str


def grants_of(state: AccessState, administrators: Sequence[str] = (), at_ms: int = 0) -> Grants:
    """The grants that hold: those of the stream, those of its tokens, and those of the named administrators.

    Tokens that have expired by `at_ms` are left out. A caller whose token has expired proves nothing, so whoever only
    decides on calls need not give the time.
    """
    found = [_grant(each) for each in state.grants.values()]
    found += [_of_token(each) for each in state.tokens.values() if each.expire_time_ms > at_ms]
    found += [Grant(FROM_SETTINGS, name, Role.ADMINISTRATOR, Bound(ALL), Bound(ALL)) for name in administrators]
    return Grants(each for each in found if each is not None)


def subject_named(name: str, groups: Sequence[str] = ()) -> Subject:
    """The subject that a grant names, for an explanation: nobody has proven it."""
    return Subject(name, kind_of(name), How.NOTHING, tuple(groups))


def target_named(text: str) -> Target | None:
    """What models/{model}, environments/{environment} or models/{model}@{environment} means; None for another form.

    An empty text means everything.
    """
    if not text:
        return EVERYTHING
    kind, _, rest = text.partition("/")
    name, at, environment = rest.partition("@")
    if kind == "models" and is_model_name(name) and (not at or is_name(environment)):
        return Target(name, environment)
    return Target(NONE, name) if kind == "environments" and not at and is_name(name) else None


def explain(subject: Subject, grants: Grants, action: Action, target: Target, shown: str) -> Explained:
    """Why the subject may do this or not. `shown` names the target in the sentence."""
    row = Row(Resource.MODEL, action, Scope.MODEL)
    grant = deciding_grant(subject, grants, row, target)
    what = f"{action.value} {shown or 'everything'}"
    if grant is None:
        roles = ", ".join(role.value for role, rights in RIGHTS.items() if action in rights.own | rights.also)
        return Explained(False, None, f"{subject.name} may not {what}: no grant covers it; roles that may: {roles}")
    terms = f"{grant.role.value} for models {grant.models.text} in environments {grant.environments.text}"
    if grant.deny:
        return Explained(False, grant, f"{subject.name} may not {what}: grant {grant.name} denies {terms}")
    through = "" if grant.subject == subject.name else f" to {grant.subject}"
    source = "HEADGATE_AUTHENTICATION_ADMINISTRATORS" if grant.name == FROM_SETTINGS else f"grant {grant.name}{through}"
    return Explained(True, grant, f"{subject.name} may {what}: {source} gives {terms}")


def _grant(grant: resources.Grant) -> Grant | None:
    role = _role(grant.role)
    if role is None:
        if not grant.deny:
            return None
        # A later Headgate denies a role that this one does not know. Denying all of them is safe.
        role = Role.ADMINISTRATOR
    return Grant(grant.grant, grant.subject, role, Bound(grant.models), Bound(grant.environments), grant.deny)


def _of_token(token: resources.Token) -> Grant | None:
    role, name = _role(token.role), TOKEN_PREFIX + token.token
    return None if role is None else Grant(name, name, role, Bound(token.models), Bound(token.environments))


def _role(number: facts.Role.ValueType) -> Role | None:
    word = word_of(facts.Role, number)
    return next((role for role in Role if role.value == word), None)
