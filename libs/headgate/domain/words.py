"""Turns what the protos hold into words that people read: the names of enum values, times, durations and numbers."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@cache
def word_of(enum: Any, number: int) -> str:
    """The value in lower case and without its enum's prefix: PHASE_ROLLING_BACK of Phase is "rolling back".

    `enum` is a generated enum. A number without a name is shown as a number.
    """
    return word_in(enum.DESCRIPTOR, number)


def word_in(enum: EnumDescriptor, number: int) -> str:
    """As word_of, for whoever has the enum's descriptor alone, as that of a field."""
    name = enum.values_by_number[number].name if number in enum.values_by_number else str(number)
    return name.removeprefix(_prefix(enum.name)).replace("_", " ").lower()


def hyphenated(enum: Any, number: int) -> str:
    """As word_of, but as one word with hyphens for a command line: "blue-green"."""
    return word_of(enum, number).replace(" ", "-")


def json_kind(value: object) -> str:
    """What kind of JSON value this is, as its author knows it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds: tuple[tuple[type, str], ...] = ((str, "text"), (dict, "an object"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")


def counted(count: int, noun: str) -> str:
    """A number with its noun, which gets an s in the plural: "1 key", "0 keys", "2 keys"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], at_most: int) -> str:
    """The names in a sentence: "a", "a and b", "a, b and 3 more"."""
    left_out = len(names) - at_most
    shown = [*names[:at_most], f"{left_out} more"] if left_out > 0 else [*names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def duration_text(milliseconds: int) -> str:
    """A duration in its two largest units: "45 s", "9 min 5 s", "3 d 4 h". A negative one is "0 s"."""
    seconds = max(0, round(milliseconds / 1000))
    parts: list[tuple[int, str]] = []
    for name, length in UNITS:
        count, seconds = divmod(seconds, length)
        if count or parts:
            parts.append((count, name))
    shown = [f"{count} {name}" for count, name in parts[:2] if count]
    return " ".join(shown) or "0 s"


def time_text(at_ms: int) -> str:
    """The time as people read it; empty for 0. Anyone can write a record with a time that no calendar has."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_ms else ""
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms after 1970"


def rfc3339(at_ms: int, timespec: str = "milliseconds") -> str:
    """The time in UTC as programs read it (RFC 3339): 2026-03-03T14:05:00.000Z. `timespec` is that of isoformat."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _prefix(enum_name: str) -> str:
    """VerdictState -> VERDICT_STATE_"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum_name).upper() + "_"
