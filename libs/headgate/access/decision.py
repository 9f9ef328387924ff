"""Whether a subject may make a call: the row of the method, the grants of the subject, and what the call is about."""

from enum import Enum

from headgate.access.grants import NOTHING, Grant, Grants, Target
from headgate.access.subject import Kind, Subject
from headgate.access.table import Row, Scope


class Reason(Enum):
    """Why a call is not allowed. The values are the words of metrics and of the audit log."""

    UNPROVEN = "unproven"
    """Nobody has proven who calls."""
    NO_GRANT = "no-grant"
    DENIED = "denied"


_OPEN, _ANYWHERE = Scope.OPEN, Scope.ANYWHERE
_VISIBLE, _STREAMS = Scope.VISIBLE, Scope.STREAMS
"""A call that names nothing in particular shows its caller what it may see: a grant for anything is enough."""
_NOBODY, _SERVICE = Kind.NOBODY, Kind.SERVICE


def decide(subject: Subject, grants: Grants, row: Row, target: Target) -> Reason | None:
    """None when the subject may make the call, else the reason. A deny that touches the target overrides any allow."""
    scope = row.scope
    if scope is _OPEN:
        return None
    # A decision must cost less than a microsecond, so what was remembered is looked up without a call.
    held = grants.held.get((subject.name, subject.kind is _SERVICE, subject.groups)) or grants.remembered(subject)
    denies, allows = held[row.bit]
    for grant in denies:
        if grant.touches(target):
            return Reason.DENIED
    if allows and (scope is _ANYWHERE or ((scope is _VISIBLE or scope is _STREAMS) and target == NOTHING)):
        return None
    for grant in allows:
        if grant.covers(target):
            return None
    return Reason.UNPROVEN if subject.kind is _NOBODY else Reason.NO_GRANT


def deciding_grant(subject: Subject, grants: Grants, row: Row, target: Target) -> Grant | None:
    """The grant by which `decide` allows or denies the call; None when there is none."""
    held = [each for each in grants.of(subject) if row.action in each.actions]
    anywhere = row.scope is _ANYWHERE or (row.scope in (_VISIBLE, _STREAMS) and target == NOTHING)
    denies = (each for each in held if each.deny and each.touches(target))
    allows = (each for each in held if not each.deny and (anywhere or each.covers(target)))
    return next(denies, None) or next(allows, None)
