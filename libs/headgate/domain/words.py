"""Turns the names of enum values in the protos into words that people read."""

import re
from functools import cache
from typing import Any


@cache
def word_of(enum: Any, number: int) -> str:
    """The value in lower case and without its enum's prefix: PHASE_ROLLING_BACK of Phase is "rolling back".

    `enum` is a generated enum. A number without a name is shown as a number.
    """
    name = enum.DESCRIPTOR.values_by_number[number].name if number in enum.DESCRIPTOR.values_by_number else str(number)
    return name.removeprefix(_prefix(enum.DESCRIPTOR.name)).replace("_", " ").lower()


def hyphenated(enum: Any, number: int) -> str:
    """As word_of, but as one word with hyphens for a command line: "blue-green"."""
    return word_of(enum, number).replace(" ", "-")


def _prefix(enum_name: str) -> str:
    """VerdictState -> VERDICT_STATE_"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum_name).upper() + "_"
