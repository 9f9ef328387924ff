"""Reads a TOML file table by table and collects all problems, so that its author sees them at once.

Each value is read together with a description of the expected value. A problem names its table and key, as in
"train.epochs" or "step 2: min_keys", and the line.
"""

import reprlib
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from headgate.domain.credentials import hides_nothing, without_credentials
from headgate.domain.utf8 import not_utf8
from headgate.domain.words import counted
from headgate.toml_faults import MAX_KEYS, too_deep, why_not_toml
from headgate.toml_lines import Path, line_of, lines_of

MAX_TEXT = 4096
MAX_SHOWN_CHARACTERS = 200
HIDDEN = "one that is not shown"
"""What a problem has in place of a value that may hold a secret."""
PLAIN = "a text without a password, a token or a user name in a URL, because the log keeps it for ever"
REQUIRED: Any = object()
ABSENT: Any = object()


class _AsToml(reprlib.Repr):
    """Shows a value as its author wrote it. It limits the depth, because dotted keys can nest deeper than repr()."""

    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()

    def repr_dict(self, value: dict[str, Any], level: int) -> str:
        if not value or level <= 0:
            return "{...}" if value else "{}"
        shown = [f"{key} = {self.repr1(value[key], level - 1)}" for key in list(value)[: self.maxdict]]
        return f"{{ {', '.join([*shown, *(['...'] if len(value) > self.maxdict else [])])} }}"

    def repr_instance(self, value: Any, level: int) -> str:
        return str(value)  # dates and times

    repr_date = repr_time = repr_datetime = repr_instance


_shown = _AsToml()
_shown.maxstring = _shown.maxother = MAX_SHOWN_CHARACTERS


class InvalidToml(Exception):
    """All problems of a file, each as "key: expected ..., got ... (line 3)"."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass
class _File:
    """The text of a file and what is wrong with it."""

    text: str
    problems: list[str] = field(default_factory=list)

    @cached_property
    def lines(self) -> dict[Path, int]:
        return lines_of(self.text)


class Table:
    """One TOML table. It returns checked values and notes a problem for each wrong one.

    All tables of a file share one list of problems. Call `refuse_problems` when everything is read.
    """

    def __init__(self, path: Path, values: dict[str, Any] | None, file: _File) -> None:
        self.values: dict[str, Any] = values or {}
        # A required table that is absent has one problem already. Its keys add no more.
        self.present = values is not None
        self._path = path
        self._file = file

    @property
    def name(self) -> str:
        """The table as a person reads it: "train", "step 2"."""
        return in_words(self._path).removesuffix(":")

    def refuse_problems(self) -> None:
        """Raises InvalidToml when the file has a problem."""
        if self._file.problems:
            raise InvalidToml(self._file.problems)

    def wrong(self, key: str, expected: str, got: object) -> None:
        """Notes a problem. `got` is ABSENT when the key is absent."""
        shown = "" if got is ABSENT else _shown.repr(got)
        if got is HIDDEN or not all(hides_nothing(text) for _, text in texts_in(key, got)):
            shown = HIDDEN
        found = f"but it is missing{self._place(())}" if got is ABSENT else f"got {shown[:MAX_SHOWN_CHARACTERS]}"
        where = "" if got is ABSENT else self._place(key.split("."))
        named = without_credentials(in_words((*self._path, key)))
        self._file.problems.append(f"{named}: expected {expected}, {found}{where}")

    def wrong_whole(self, expected: str) -> None:
        """Notes a problem of the table as a whole."""
        self._file.problems.append(f"{self.name}: expected {expected}{self._place(())}")

    def _place(self, keys: Collection[str]) -> str:
        line = line_of((*self._path, *keys), self._file.lines)
        if not line:
            return ""
        return f" (line {line})" if keys else f" in the table of line {line}"

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
        return Table((*self._path, key), value, self._file)

    def tables(self, key: str) -> list["Table"]:
        """The tables at this key, each written under [[key]]. Empty when the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.wrong(key, f"tables, each under [[{in_words((*self._path, key))}]]", value)
            return []
        return [Table((*self._path, key, number), each, self._file) for number, each in enumerate(value)]

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


def in_words(path: Path) -> str:
    """The path as a person reads it: "train.epochs", "step 2: min_keys"."""
    text = ""
    for each in path:
        if isinstance(each, int):
            text = f"{text.removesuffix('s')} {each + 1}:"
        else:
            text += f"{' ' if text.endswith(':') else '.' if text else ''}{each}"
    return text


def read(text: bytes, file_name: str, max_bytes: int) -> Table:
    """The root table of the file. Raises InvalidToml for a file that is too large or not TOML."""
    if len(text) > max_bytes:
        raise InvalidToml([f"{file_name}: expected at most {max_bytes} bytes, got {len(text)}"])
    try:
        decoded = text.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise InvalidToml([f"{file_name}: {not_utf8(error)}"]) from error
    if too_deep(decoded):
        raise InvalidToml([f"{file_name}: expected keys of at most {counted(MAX_KEYS, 'part')}"])
    try:
        root = Table((), tomllib.loads(decoded), _File(decoded))
    except RecursionError as error:
        raise InvalidToml([f"{file_name}: expected lists and tables with less nesting"]) from error
    except ValueError as error:
        raise InvalidToml([f"{file_name}: {why_not_toml(decoded, error)}"]) from error
    root.no_credentials()
    return root


def texts_in(key: str, value: object) -> Iterator[tuple[str, str]]:
    """Each key and each text in a value of TOML, with the key that leads to it. Tables may be nested deeply."""
    for place, found in leaves_in(key, value, with_keys=True):
        if isinstance(found, str):
            yield place, found


def leaves_in(key: str, value: object, with_keys: bool = False) -> Iterator[tuple[str, object]]:
    """Each value that is neither a list nor a table, with the key that leads to it. `with_keys` adds the keys."""
    waiting: list[tuple[str, object]] = [(key, value)]
    while waiting:
        place, found = waiting.pop()
        if isinstance(found, list):
            waiting.extend((place, each) for each in found)
        elif isinstance(found, dict):
            for name, each in found.items():
                inner = f"{place}.{name}" if place else name
                if with_keys:
                    yield inner, name
                waiting.append((inner, each))
        else:
            yield place, found


def is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether the value is a finite number that a double can hold. TOML also has larger integers, nan and inf."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
