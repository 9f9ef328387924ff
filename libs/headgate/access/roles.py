"""What the roles may do. A grant gives a role to a subject, for some models and environments."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What a call does, as far as it matters for who may do it. The values are the words of the command line."""

    READ = "read"
    PUBLISH = "publish"
    """Make models and versions, describe them, move aliases."""
    APPROVE = "approve"
    """Approve or deny a version that awaits it."""
    RELEASE = "release"
    """Move a release forward, or undo one."""
    ABORT = "abort"
    """Hold a release or take it back, and quarantine a version: what is always safe."""
    OPERATE = "operate"
    """Freezes, evaluations on demand, the archive, the end of a quarantine."""
    ADMINISTER = "administer"
    """What others' rights rest on, or what cannot be undone: policies, labels, waivers, purges."""
    GRANT = "grant"
    """Give and take roles, make and revoke tokens."""
    PREDICT = "predict"
    FOLLOW = "follow"
    """Serve an environment at the edge: take its routes and artifacts, report counts."""


class Role(Enum):
    """A set of actions under one name. The values are the words of the command line."""

    VIEWER = "viewer"
    PUBLISHER = "publisher"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    PREDICTOR = "predictor"
    """A caller of models."""
    DEVICE = "device"
    """A machine at the edge."""
    SERVICE = "service"
    """One of Headgate's own services: it reads and may abort, and never moves a release past a gate."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role allows. A denied role takes away `own` alone: who is denied to publish may still read."""

    own: frozenset[Action]
    also: frozenset[Action] = frozenset()


READ = frozenset({Action.READ})
RIGHTS: Mapping[Role, Rights] = {
    Role.VIEWER: Rights(READ),
    Role.PUBLISHER: Rights(frozenset({Action.PUBLISH}), READ),
    Role.APPROVER: Rights(frozenset({Action.APPROVE}), READ),
    Role.OPERATOR: Rights(frozenset({Action.RELEASE, Action.ABORT, Action.OPERATE}), READ),
    Role.ADMINISTRATOR: Rights(frozenset(Action)),
    Role.PREDICTOR: Rights(frozenset({Action.PREDICT})),
    Role.DEVICE: Rights(frozenset({Action.FOLLOW})),
    Role.SERVICE: Rights(frozenset({Action.ABORT}), READ),
}

BITS: Mapping[Action, int] = {action: 1 << number for number, action in enumerate(Action)}
"""Each action as a number, because an enum costs a decision more time than a number does."""
