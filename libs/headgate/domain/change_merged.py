"""What an event about a merged commit says: model, repository, commit and message, in any of the places for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.domain.words import json_kind

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
        model=_text(custom, "customData.model"),
        repository=_text(custom, "customData.repository") or _repository(subject),
        commit=_text(custom, "customData.commit") or _text(subject, "subject.id"),
        message=_text(custom, "customData.message").strip(),
    )


def _repository(subject: Mapping[str, Any]) -> str:
    place = "subject.content.repository"
    repository = _table(_table(subject, "subject.content"), place)
    return next(filter(None, (_text(repository, f"{place}.{key}") for key in ("source", "url", "id"))), "")


def _table(data: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The object at the last key of the place, by which errors name it."""
    value = data.get(_key(place), {})
    if not isinstance(value, dict):
        raise BadChange(f"{place}: expected an object, got {json_kind(value)}")
    return value


def _text(table: Mapping[str, Any], place: str) -> str:
    value = table.get(_key(place), "")
    if not isinstance(value, str):
        raise BadChange(f"{place}: expected text, got {json_kind(value)}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadChange(f"{place}: expected text, got half of a surrogate pair")
    return value


def _key(place: str) -> str:
    return place.rpartition(".")[2]
