"""Reads a JSON object, and refuses what two readers could understand differently: a key that occurs twice."""

import json
import re
from decimal import Decimal
from typing import Any

import orjson

from headgate.artifacts.held_numbers import MAX_INT_DIGITS
from headgate.domain.words import json_kind
from services.gateway.tensors import InvalidInput

COLON = b":"
LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""orjson makes a float of a whole number that does not fit into 64 bits. It has at least so many digits."""
TOO_DEEP = "the body is nested too deep"


class _DoubledKey(Exception):
    pass


def read_object(text: bytes) -> dict[str, Any]:
    """The object. Raises InvalidInput when the text is no JSON object, is nested too deep, or doubles a key."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}", "body") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"expected a JSON object, got {json_kind(value)}", "body")
    # Reading with a check of every key takes ten times as long. Each key has a colon of its own. So the check is only
    # needed when there are more colons than keys: a key is doubled, or a string has a colon.
    if text.count(COLON) != _keys(value):
        _refuse_doubled_keys(text)
    return value


class Written:
    """What the JSON of a body says beyond the values that were read of it."""

    __slots__ = ("has_literals", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        # One letter takes a tenth of the time of a word to look for, and numbers have none.
        self.has_literals = (b"r" in text and b"true" in text) or (b"l" in text and b"false" in text)
        """Whether there may be true or false. A string that has these letters counts too."""

    def data_of(self, tensor: int) -> list[Any] | None:
        """The data of an input, by its index, with every digit of its whole numbers. None without a long number.

        A number that is too long for an int is a Decimal. Raises InvalidInput.
        """
        if LONG_NUMBER.search(self.text) is None:
            return None
        try:
            data: list[Any] = json.loads(self.text, parse_int=_whole)["inputs"][tensor]["data"]
        except RecursionError:
            raise InvalidInput(TOO_DEEP, "body") from None
        return data


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= MAX_INT_DIGITS else Decimal(digits)


def _keys(value: dict[str, Any]) -> int:
    """The number of keys in the object and below it. Too few, when a list begins with something else than an object."""
    count = 0
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            count += len(each)
            waiting.extend(each.values())
        elif isinstance(each, list) and each and isinstance(each[0], dict):
            waiting.extend(each)
    return count


def _refuse_doubled_keys(text: bytes) -> None:
    try:
        json.loads(text, object_pairs_hook=_unique)
    except _DoubledKey as error:
        raise InvalidInput(f"the body has the key {str(error)!r} twice in one object", "body") from None
    except RecursionError:
        raise InvalidInput(TOO_DEEP, "body") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DoubledKey(key)
            seen.add(key)
    return unique
