"""Reads a TOML file table by table and collects all problems, so that its author sees them at once.

Each value is read together with a description of the expected value. A problem names its table and key, as in
"train.epochs".
"""

import reprlib
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from headgate.domain.credentials import hides_nothing, without_credentials
from headgate.domain.utf8 import not_utf8

MAX_TEXT = 4096
MAX_SHOWN_CHARACTERS = 200
HIDDEN = "one that is not shown"
"""What a problem has in place of a value that may hold a secret."""
PLAIN = "a text without a password, a token or a user name in a URL, because the log keeps it for ever"
REQUIRED: Any = object()
ABSENT: Any = object()

_shown = reprlib.Repr()  # also limits the depth: dotted keys can nest tables deeper than repr() can go
_shown.maxstring = _shown.maxother = MAX_SHOWN_CHARACTERS


class InvalidToml(Exception):
    """All problems of a file, each as "key: expected ..., got ..."."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class Table:
    """One TOML table. It returns checked values and notes a problem for each wrong one.

    All tables of a file share one list of problems. Call `refuse_problems` when everything is read.
    """

    def __init__(self, name: str, values: dict[str, Any] | None, problems: list[str]) -> None:
        self.name = name
        self.values: dict[str, Any] = values or {}
        # A required table that is absent has one problem already. Its keys add no more.
        self.present = values is not None
        self._problems = problems

    def refuse_problems(self) -> None:
        """Raises InvalidToml when the file has a problem."""
        if self._problems:
            raise InvalidToml(self._problems)

    def wrong(self, key: str, expected: str, got: object) -> None:
        """Notes a problem. `got` is ABSENT when the key is absent."""
        shown = "nothing" if got is ABSENT else _shown_as_toml(got)
        if got is HIDDEN or not all(hides_nothing(text) for _, text in texts_in(key, got)):
            shown = HIDDEN
        self._problems.append(
            f"{without_credentials(self._key(key))}: expected {expected}, got {shown[:MAX_SHOWN_CHARACTERS]}"
        )

    def no_credentials(self) -> None:
        """Notes a problem for each text, at any depth, that the log must not keep."""
        for key, text in texts_in("", self.values):
            if not hides_nothing(text):
                self.wrong(key, PLAIN, HIDDEN)

    def table(self, key: str, optional: bool = False) -> "Table":
        """The table at this key. Without one, an empty table that is not `present`."""
        value = self.values.get(key, ABSENT)
        if not isinstance(value, dict):
            if value is not ABSENT or not optional:
                self.wrong(key, "a table", value)
            value = None
        return Table(self._key(key), value, self._problems)

    def tables(self, key: str) -> list["Table"]:
        """The tables at this key, each written under [[key]]. Empty when the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.wrong(key, f"tables, each under [[{self._key(key)}]]", value)
            return []
        return [Table(f"{self._key(key)}[{number}]", each, self._problems) for number, each in enumerate(value)]

    def value(self, key: str, expected: str, fits: Callable[[Any], bool], default: Any = REQUIRED) -> Any:
        """The value at this key. When it is absent, the default; when it does not fit, None and a problem."""
        if key not in self.values:
            if default is not REQUIRED:
                return default
            if self.present:
                self.wrong(key, expected, ABSENT)
            return None
        found = self.values[key]
        if fits(found):
            return found
        self.wrong(key, expected, found)
        return None

    def text(self, key: str) -> str | None:
        found: str | None = self.value(key, "text", lambda value: is_text(value) and value.strip() != "")
        return found

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        expected = f"one of {', '.join(choices)}"
        found: str | None = self.value(key, expected, lambda value: is_text(value) and value in choices)
        return found

    def whole(self, key: str, low: int, high: int, default: Any = REQUIRED) -> int | None:
        expected = f"a whole number from {low} to {high}"
        found: int | None = self.value(key, expected, lambda value: is_whole(value) and low <= value <= high, default)
        return found

    def number(self, key: str, low: float, high: float, default: Any = REQUIRED) -> float | None:
        expected = f"a number from {low:g} to {high:g}"
        found: float | None = self.value(
            key, expected, lambda value: is_number(value) and low <= value <= high, default
        )
        return found

    def no_more(self, known: Collection[str]) -> None:
        """Notes a problem for each unknown key, because it would have no effect."""
        for key in self.values:
            if key not in known:
                self.wrong(key, f"one of the keys {', '.join(known)}", key)

    def _key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def read(text: bytes, file_name: str, max_bytes: int) -> Table:
    """The root table of the file. Raises InvalidToml for a file that is too large or not TOML."""
    if len(text) > max_bytes:
        raise InvalidToml([f"{file_name}: expected at most {max_bytes} bytes, got {len(text)}"])
    try:
        root = Table("", tomllib.loads(text.decode("utf-8-sig")), [])  # some editors begin a file with a mark
    except RecursionError as error:
        raise InvalidToml([f"{file_name}: expected lists and tables with less nesting"]) from error
    except UnicodeDecodeError as error:
        raise InvalidToml([f"{file_name}: {not_utf8(error)}"]) from error
    except ValueError as error:  # wrong syntax, or a number with thousands of digits
        raise InvalidToml([f"{file_name}: expected TOML, got {error}"]) from error
    root.no_credentials()
    return root


def _shown_as_toml(got: object) -> str:
    return str(got).lower() if isinstance(got, bool) else _shown.repr(got)


def texts_in(key: str, value: object) -> Iterator[tuple[str, str]]:
    """Each key and each text in a value of TOML, with the key that leads to it. Tables may be nested deeply."""
    waiting: list[tuple[str, object]] = [(key, value)]
    while waiting:
        place, found = waiting.pop()
        if isinstance(found, str):
            yield place, found
        elif isinstance(found, list):
            waiting.extend((place, each) for each in found)
        elif isinstance(found, dict):
            for name, each in found.items():
                inner = f"{place}.{name}" if place else name
                yield inner, name
                waiting.append((inner, each))


def is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether the value is a finite number that a double can hold. TOML also has larger integers, nan and inf."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
