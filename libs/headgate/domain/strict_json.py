"""Reads JSON, and refuses what two readers could understand differently.

A key that stands twice in one object, and NaN or Infinity, which JSON does not have.
"""

import json
from typing import Any

from headgate.domain.utf8 import text_of_json


def read_json(value: bytes) -> Any:
    """The value. Raises ValueError with the reason in words."""
    try:
        return json.loads(text_of_json(value), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("expected lists and objects with less nesting") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
