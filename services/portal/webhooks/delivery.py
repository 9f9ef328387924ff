"""What a webhook delivers, and what may become of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.domain.strict_json import read_json
from headgate.domain.words import json_kind


class Refused(Exception):
    """A delivery that is not taken. `slug` is for programs, the rule for people. `http` is the HTTP status."""

    def __init__(self, http: int, slug: str, rule: str) -> None:
        super().__init__(rule)
        self.http, self.slug, self.rule = http, slug, rule


@dataclass(frozen=True, slots=True)
class Delivery:
    """The raw bytes of one delivery, its headers by their names in small letters, and when it came."""

    headers: Mapping[str, str]
    body: bytes
    at_ms: int

    def header(self, name: str) -> str:
        """The header's value; empty without one."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Push:
    """A branch has a new commit.

    `repositories` are the addresses by which the sender knows the repository. A local one has no host, and begins
    with a / as in /PROJECT/REPOSITORY where the sender names no address at all.
    """

    repositories: tuple[str, ...]
    branch: str
    commit: str
    message: str = ""
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """A delivery that changes nothing, with the reason as a sentence."""

    why: str


def malformed(rule: str) -> Refused:
    """The refusal of a delivery of another form than its sender documents."""
    return Refused(400, "malformed-delivery", rule)


class Payload:
    """A JSON object whose fields are read by their dotted place. A wrong type is a refusal that names the place."""

    def __init__(self, found: Mapping[str, Any], place: str = "") -> None:
        self._found, self._place = found, place

    def text(self, place: str, needed: bool = False) -> str:
        """The text at the place; empty without one, unless it is needed. Raises Refused."""
        found = self._at(place)
        if found is None and not needed:
            return ""
        if not isinstance(found, str) or (needed and not found):
            raise malformed(f"{self._place}{place}: expected text, got {json_kind(found)}")
        return found

    def flag(self, place: str) -> bool:
        """Whether the place has true."""
        return self._at(place) is True

    def parts(self, place: str) -> "list[Payload]":
        """The objects of the list at the place; none without one. Raises Refused."""
        found = self._at(place)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise malformed(f"{self._place}{place}: expected a list of objects, got {json_kind(found)}")
        return [Payload(each, f"{self._place}{place}[{n}].") for n, each in enumerate(found)]

    def has(self, place: str) -> bool:
        """Whether the place has anything but null."""
        return self._at(place) is not None

    def texts(self, *places: str) -> tuple[str, ...]:
        """The texts at these places that are there."""
        return tuple(filter(None, map(self.text, places)))

    def _at(self, place: str) -> Any:
        at: Any = self._found
        for key in place.split("."):
            if not isinstance(at, dict):
                return None
            at = at.get(key)
        return at


def payload_of(body: bytes) -> Payload:
    """The JSON object of a body. Raises Refused."""
    try:
        found = read_json(body)
    except ValueError as error:
        raise malformed(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise malformed(f"the body: expected a JSON object, got {json_kind(found)}")
    return Payload(found)
