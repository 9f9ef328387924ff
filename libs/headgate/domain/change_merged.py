"""What an event about a merged commit says: model, repository, commit and message, in any of the places for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TYPE = re.compile(r"dev\.cdevents\.change\.merged(\.\d+\.\d+\.\d+(-\w+)?)?")


class BadChange(ValueError):
    """The event's data has another type where text or an object belongs."""


@dataclass(frozen=True, slots=True)
class MergedChange:
    """Each text is empty where the event has none."""

    model: str
    repository: str
    commit: str
    message: str


def merged_change(data: Mapping[str, Any]) -> MergedChange:
    """Reads the data of an event of TYPE. Raises BadChange."""
    subject, custom = _table(data, "subject"), _table(data, "customData")
    return MergedChange(
        model=_text(custom, "model"),
        repository=_text(custom, "repository") or _repository(subject),
        commit=_text(custom, "commit") or _text(subject, "id"),
        message=_text(custom, "message").strip(),
    )


def _repository(subject: Mapping[str, Any]) -> str:
    repository = _table(_table(subject, "content"), "repository")
    return _text(repository, "source") or _text(repository, "url") or _text(repository, "id")


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise BadChange(f"{key}: expected an object, got {type(value).__name__}")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise BadChange(f"{key}: expected text, got {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadChange(f"{key}: expected text, got half of a surrogate pair")
    return value
