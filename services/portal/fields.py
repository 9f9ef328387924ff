"""A message as named texts, such as `train.learning_rate` and 0.05, and what differs between two of them. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from headgate.domain.words import duration_text, word_in

MAX_TEXT = 300
"""Characters of one value."""
MAX_DEPTH = 8
"""Levels of a free value that are taken apart. What is deeper stays one text."""
KEYS = ("name", "metric", "slice")
"""Fields by which the entries of a list are told apart. Lists of others go by place."""

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One value on both sides; empty where a side has none."""

    name: str
    base: str
    other: str

    @property
    def differs(self) -> bool:
        return self.base != self.other


def compared(base: Texts, other: Texts) -> list[Field]:
    """The fields of both sides, in the order of the other one, then those that only the base has."""
    names = dict.fromkeys((*other, *base))
    return [Field(name, base.get(name, ""), other.get(name, "")) for name in names]


def texts_of(message: Message, under: str = "") -> Texts:
    """Every field that is set. Times and weights have their units; the place of a list's entry counts from 1."""
    return dict(_of_message(message, under))


def texts_of_json(text: str, under: str) -> Texts:
    """The fields of free parameters. A text that is no JSON stays one value."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        value = text
    return dict(_of_value(value, under, MAX_DEPTH))


def _of_message(message: Message, under: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        name = f"{under}.{field.name}" if under else field.name
        if isinstance(value, Message):
            yield from _of_message(value, name)
        elif hasattr(value, "items"):
            yield from ((f"{name}.{key}", _cut(str(value[key]))) for key in sorted(value))
        elif field.message_type is not None:
            yield from _of_list(value, name)
        elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
            yield name, _cut(", ".join(_leaf(field, each) for each in value))
        else:
            yield _named(name, _leaf(field, value), value)


def _of_list(entries: Any, name: str) -> Iterator[tuple[str, str]]:
    for place, each in enumerate(entries, start=1):
        key = " on ".join(str(getattr(each, key)) for key in KEYS if getattr(each, key, ""))
        yield from _of_message(each, f"{name}[{key or place}]")


def _named(name: str, text: str, value: Any) -> tuple[str, str]:
    if name.endswith("_ms"):
        return name.removesuffix("_ms"), duration_text(value)
    if name.endswith("_bps"):
        return name.removesuffix("_bps"), f"{value / 100:g} %"
    return name, _cut(text)


def _leaf(field: Any, value: Any) -> str:
    if field.enum_type is not None:
        return word_in(field.enum_type, value).replace(" ", "-")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return value.hex() if isinstance(value, bytes) else str(value)


def _of_value(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value and depth:
        for key in sorted(value):
            yield from _of_value(value[key], f"{name}.{key}", depth - 1)
    elif value != {}:
        yield name, _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
