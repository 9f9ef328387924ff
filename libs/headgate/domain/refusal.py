"""Refusals of commands: a stable code, the rule that the command breaks, and the field."""

from dataclasses import dataclass

from google.protobuf.message import Message

from headgate.domain.names import in_words

INVALID = "invalid-argument"
NOT_FOUND = "not-found"
ALREADY_EXISTS = "already-exists"
ILLEGAL = "illegal-transition"
GATE_NOT_MET = "gate-not-met"
OWN_VERSION = "own-version"
IN_USE = "in-use"
FROZEN = "frozen"
PURGED = "purged"
STALE = "stale-etag"
REUSED = "request-id-reused"

USED_ONCE = "a name can be used only once"
"""The rule that the second model, environment or freeze of a name breaks."""
MAX_SHOWN = 200
"""How many characters of a refused value the refusal shows."""


MAX_TEXT_CHARACTERS = 4_096
"""How long a reason or a description may be."""
_TEXTS = ("reason", "description")


@dataclass(frozen=True, slots=True)
class Refused:
    """The refusal of a command. `code` is one of the constants of this module."""

    code: str
    rule: str
    message: str
    field: str = ""


def invalid(field: str, value: object, rule: str) -> Refused:
    """For a field whose value breaks a rule that holds in every state."""
    return Refused(INVALID, rule, f"{field} is {_shown(value)}: {rule}", field)


def text_too_long(command: Message) -> Refused | None:
    """The refusal of a command whose reason or description is too long to be kept in every copy of the state."""
    for field in _TEXTS:
        if len(getattr(command, field, "")) > MAX_TEXT_CHARACTERS:
            return invalid(field, "too long", f"a {field} has at most {MAX_TEXT_CHARACTERS} characters")
    return None


def _shown(value: object) -> str:
    text = "empty" if value in ("", []) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def not_found(what: str, field: str) -> Refused:
    """For a command that names something that does not exist."""
    return Refused(NOT_FOUND, "a command must name things that exist", f"{in_words(what)} does not exist", field)


def illegal(message: str, rule: str) -> Refused:
    """For a command that the state does not allow."""
    return Refused(ILLEGAL, rule, message)


def purged(name: str, rule: str, field: str = "") -> Refused:
    """For a command that needs the artifact of a version, which the purge has deleted."""
    return Refused(PURGED, rule, f"{in_words(name)} is purged", field)
