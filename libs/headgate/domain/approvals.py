"""Whose approvals an environment asks for before a version is released into it, and whose count.

The fact of an approval holds the roles that the approver had, so a fold needs no grants. A decision also looks at the
grants: an approval whose grant was revoked since, or denied, counts no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from headgate.domain.bounds import covers
from headgate.domain.names import TOKEN_PREFIX, in_words
from headgate.domain.refusal import GATE_NOT_MET, OWN_VERSION, Refused, invalid
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.words import counted, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

ADMINISTRATOR, APPROVER = facts.ROLE_ADMINISTRATOR, facts.ROLE_APPROVER
COUNTED_ROLES = (ADMINISTRATOR, facts.ROLE_OPERATOR, facts.ROLE_PUBLISHER, APPROVER)
"""The roles that a policy may ask for. An administrator counts for each of them."""
MAX_COUNT = 20
"""How many approvals of one role a policy may ask for."""

ROLES_RULE = "approvals name a number of people for publisher, approver, operator or administrator, each role once"
COUNT_RULE = f"an environment asks for 1 to {MAX_COUNT} approvals of a role"
RELEASE_RULE = "an environment takes a version only after the people whom its policy asks for have approved it"
AUTHOR_RULE = "nobody approves a version of their own where the environment's policy asks for others"

Role: TypeAlias = facts.Role.ValueType


def check(policy: facts.ApprovalPolicy) -> Refused | None:
    """The refusal of a policy that asks for nobody, or for what nobody can fulfil; None when it is in order."""
    roles = [each.role for each in policy.roles]
    if not roles or len(set(roles)) < len(roles) or not set(roles) <= set(COUNTED_ROLES):
        return invalid("approvals.roles", ", ".join(word_of(facts.Role, role) for role in roles), ROLES_RULE)
    wrong = next((each.count for each in policy.roles if not 1 <= each.count <= MAX_COUNT), None)
    return None if wrong is None else invalid("approvals.count", wrong, COUNT_RULE)


def person(actor: str) -> str:
    """The actor's name as it is compared: spaces around it and capital letters make no other person."""
    return actor.strip().casefold()


def asking(environments: Mapping[str, EnvironmentState]) -> dict[str, facts.ApprovalPolicy]:
    """The environments that ask for approvals, and what they ask for."""
    return {
        name: state.environment.approvals
        for name, state in environments.items()
        if state.environment.HasField("approvals")
    }


def refuse_author(
    state: ModelState, version: resources.Version, actor: str, environments: Mapping[str, EnvironmentState]
) -> Refused | None:
    """The refusal of an approval by whoever created the version, where it would count nowhere; None for no refusal.

    While its own gate waits for approvals, the environment that the version is made for decides alone.
    """
    if not _is_author(state, version, actor):
        return None
    policies, wish = asking(environments), version.configuration.release.environment
    if version.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL and wish:
        policies = {name: policy for name, policy in policies.items() if name == wish}
    if not policies or any(policy.author_counts for policy in policies.values()):
        return None
    who = " and ".join(sorted(policies))
    asks = "asks" if len(policies) == 1 else "ask"
    return Refused(OWN_VERSION, AUTHOR_RULE, f"you created {in_words(version.name)}; {who} {asks} for somebody else")


def refuse_unapproved(
    state: ModelState, version: resources.Version, environment: EnvironmentState | None, access: AccessState | None
) -> Refused | None:
    """The refusal of a release into an environment whose approvals are not all there; None for no refusal."""
    awaited = awaited_approvals(state, version, environment, access)
    if environment is None or not awaited:
        return None
    claims = len(version.approved_by) > len(version.proven_approvals)
    unproven = "; approvals by people who have not proven who they are do not count" if claims else ""
    return Refused(GATE_NOT_MET, RELEASE_RULE, f"{in_words(version.name)} waits for {awaited}{unproven}", "candidate")


def awaited_approvals(
    state: ModelState, version: resources.Version, environment: EnvironmentState | None, access: AccessState | None
) -> str:
    """The approvals that a version still needs for an environment, as the end of "it waits for"; empty for none."""
    if environment is None or not environment.environment.HasField("approvals"):
        return ""
    policy = environment.environment.approvals
    missing = _missing(state, version, environment, access or AccessState("default"))
    if not missing:
        return ""
    people = " and ".join(
        counted(missing.count(role), f"more {word_of(facts.Role, role)}") for role in COUNTED_ROLES if role in missing
    )
    author = "" if policy.author_counts else ", of whom none has created it"
    return f"approvals by {people} for {environment.name}{author}"


def _is_author(state: ModelState, version: resources.Version, actor: str) -> bool:
    author = state.authors.get(version.version, "")
    return bool(author) and person(author) == person(actor)


def _missing(
    state: ModelState, version: resources.Version, environment: EnvironmentState, access: AccessState
) -> list[Role]:
    """The roles for which nobody has approved yet, each as often as somebody is missing."""
    policy = environment.environment.approvals
    counts = {each.role: each.count for each in policy.roles}
    wanted = [role for role in COUNTED_ROLES for _ in range(counts.get(role, 0))]
    people = [
        _counted_roles(approval, state, environment.name, access)
        for approval in version.proven_approvals
        if policy.author_counts or not _is_author(state, version, approval.approver)
    ]
    return unfilled(wanted, people)


def unfilled(wanted: Sequence[Role], people: Sequence[frozenset[Role]]) -> list[Role]:
    """The wanted roles that stay empty when each person fills one of its roles, and as many as possible are filled.

    Augmenting paths: who fills a role gives way to another person when there is another role for the first one.
    """
    filled_by: dict[int, int] = {}

    def seat(individual: int, tried: set[int]) -> bool:
        for place, role in enumerate(wanted):
            if role not in people[individual] or place in tried:
                continue
            tried.add(place)
            if place not in filled_by or seat(filled_by[place], tried):
                filled_by[place] = individual
                return True
        return False

    for individual in range(len(people)):
        seat(individual, set())
    return [role for place, role in enumerate(wanted) if place not in filled_by]


def _counted_roles(
    approval: resources.Approval, state: ModelState, environment: str, access: AccessState
) -> frozenset[Role]:
    """The roles for which an approval counts in the environment now; none when its author may approve no more."""
    denied = set(_denied(approval.approver, state, environment, access))
    held = {
        each.role
        for each in approval.held
        if _stands(each, approval, access) and covers(each.environments, environment)
    }
    if not held & {APPROVER, ADMINISTRATOR} or denied & {APPROVER, ADMINISTRATOR}:
        return frozenset()
    return frozenset((set(COUNTED_ROLES) if ADMINISTRATOR in held else held) - denied)


def _stands(held: facts.HeldRole, approval: resources.Approval, access: AccessState) -> bool:
    """Whether the grant holds that gave the role. A later one of the same name is another one."""
    if not held.grant:
        return True
    found: resources.Grant | resources.Token | None = access.grants.get(held.grant)
    if held.grant.startswith(TOKEN_PREFIX):
        found = access.tokens.get(held.grant.removeprefix(TOKEN_PREFIX))
    return found is not None and found.create_time_ms <= approval.approve_time_ms


def _denied(subject: str, state: ModelState, environment: str, access: AccessState) -> Iterator[Role]:
    """The roles that the subject itself is denied here. The groups of somebody who does not call are not known."""
    for grant in access.grants.values():
        here = covers(grant.models, state.name, state.model.labels) and covers(grant.environments, environment)
        if grant.deny and grant.subject == subject and here:
            yield grant.role
