"""Reads settings from the environment into a frozen dataclass. One error lists every problem."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_type_hints

from headgate.domain.address import HOST_RULE, MAX_PORT, is_host
from headgate.domain.credentials import without_credentials

Settings = TypeVar("Settings")

TRUE = frozenset({"1", "true", "yes", "on"})
MAX_SECONDS = 10**9
"""About 31 years. A longer wait is a mistake, and much longer ones are more than a thread can wait."""
ABOVE_ZERO = "above zero"
"""In the metadata of a field whose 0 makes no sense, such as the time that work may take."""
HOST = "host"
"""In the metadata of a field that is the name or the address of a host. A port is another setting."""
CHECK = "check"
"""In the metadata of a field with a rule of its own: a function of the value that raises ValueError with the rule."""
FALSE = frozenset({"0", "false", "no", "off"})


class SettingsError(Exception):
    """All problems of the settings, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def from_env(cls: type[Settings], environ: Mapping[str, str], prefix: str = "HEADGATE_") -> Settings:
    """Reads the variable PREFIX + FIELD for each field. A field without a default must be set. Raises SettingsError."""
    kinds = get_type_hints(cls)
    values: dict[str, object] = {}
    problems: list[str] = []
    for field in fields(cls):  # type: ignore[arg-type]  # callers pass a dataclass; no TypeVar bound can express that
        variable = prefix + field.name.upper()
        text = environ.get(variable, "")
        try:
            if text:
                values[field.name] = _checked(field, _parser(kinds[field.name])(text))
            elif _is_required(field):
                problems.append(f"{variable} is not set")
        except ValueError as error:
            problems.append(f"{variable}={without_credentials(text)!r}: {error}")
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def _checked(field: "Field[Any]", value: object) -> object:
    """The value. Raises ValueError when it breaks a rule of its field; the last word of the name is the unit."""
    unit = field.name.rpartition("_")[2]
    if unit == "port" and isinstance(value, int) and not 0 <= value <= MAX_PORT:
        raise ValueError(f"expected a port from 0 to {MAX_PORT}")
    if field.metadata.get(ABOVE_ZERO) and isinstance(value, int | float) and not value > 0:
        raise ValueError(f"expected more than 0; without this setting it is {field.default:g}")
    if unit == "seconds" and isinstance(value, float) and not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"expected seconds from 0 to {MAX_SECONDS}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    if field.metadata.get(HOST) and not is_host(str(value)):
        raise ValueError(HOST_RULE)
    if check := field.metadata.get(CHECK):
        check(value)
    return value


def _parser(kind: Any) -> Callable[[str], object]:
    if isinstance(kind, UnionType):  # a setting without a value is None
        (kind,) = (each for each in kind.__args__ if each is not NoneType)
    return _PARSERS[kind] if not issubclass(kind, StrEnum) else partial(_choice, kind)


def _choice(kind: type[StrEnum], text: str) -> StrEnum:
    try:
        return kind(text.lower())
    except ValueError:
        raise ValueError(f"expected one of {', '.join(kind)}") from None


def _is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number") from None


def _boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError("expected true or false")


_PARSERS: Mapping[type, Callable[[str], object]] = {
    str: str,
    int: _integer,
    float: _number,
    bool: _boolean,
    Path: Path,
}
