"""The roles that a subject holds for a model, as the fact of an approval keeps them."""

from headgate.access.grants import FROM_SETTINGS, Grants, Target
from headgate.access.roles import Role
from headgate.access.subject import Subject
from headgate.v1 import facts_pb2 as facts

KEPT_ROLES = {
    Role.PUBLISHER: facts.ROLE_PUBLISHER,
    Role.APPROVER: facts.ROLE_APPROVER,
    Role.OPERATOR: facts.ROLE_OPERATOR,
    Role.ADMINISTRATOR: facts.ROLE_ADMINISTRATOR,
}
"""The roles that a policy may ask approvals of."""
MAX_KEPT = 50
"""How many of them a fact keeps, those for all environments first."""


def held_roles(subject: Subject, grants: Grants, target: Target) -> list[facts.HeldRole]:
    """Each role that a policy may ask for and a grant gives for the target's model, and in which environments.

    A subject may have it by several grants. All are named, because one of them may be revoked.
    """
    held = [
        facts.HeldRole(
            role=KEPT_ROLES[grant.role],
            grant="" if grant.name == FROM_SETTINGS else grant.name,
            environments=grant.environments.text,
        )
        for grant in grants.of(subject)
        if not grant.deny and grant.role in KEPT_ROLES and grant.models.covers(target.model, target.labels)
    ]
    return sorted(held, key=lambda each: (each.environments != "*", each.role, each.grant))[:MAX_KEPT]
