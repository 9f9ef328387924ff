"""Why a command is not carried out: a stable code, the rule, and the field it is about."""

from dataclasses import dataclass

INVALID = "invalid-argument"
NOT_FOUND = "not-found"
ALREADY_EXISTS = "already-exists"
ILLEGAL = "illegal-transition"
GATE_NOT_MET = "gate-not-met"
IN_USE = "in-use"
FROZEN = "frozen"
STALE = "stale-etag"
REUSED = "request-id-reused"

MAX_SHOWN = 200
"""Characters of a refused value that the refusal repeats."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A decision against a command. `code` is one of this module's constants."""

    code: str
    rule: str
    message: str
    field: str = ""


def invalid(field: str, value: object, rule: str) -> Refused:
    """The field's value breaks a rule that holds in every state."""
    return Refused(INVALID, rule, f"{field} is {_shown(value)}: {rule}", field)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def not_found(what: str, field: str) -> Refused:
    """The command names something that does not exist."""
    return Refused(NOT_FOUND, "a command names things that exist", f"{what} does not exist", field)


def illegal(message: str, rule: str) -> Refused:
    """The state does not allow the command."""
    return Refused(ILLEGAL, rule, message)
