"""Finds the line on which a key of a TOML file stands, so that a message can name it. Only for text that is TOML."""

import re
import tomllib
from collections.abc import Iterator
from itertools import islice

Path = tuple[str | int, ...]
"""The keys that lead to a value. The number of a table under [[key]] counts from 0."""

MAX_DEPTH = 16
"""How many keys of a path are told apart. Dotted keys can nest far deeper."""

_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""("{0,2})'''
    r"""|\'\'\'.*?\'\'\'('{0,2})"""
    r'''|"(?:\\.|[^"\\\n])*"'''
    r"""|'[^'\n]*'"""
    r"""|\#[^\n]*|[\[\]{}=\n]|[^"'\#\[\]{}=\n]+""",
    re.DOTALL,
)
_KEY = re.compile(r"""[\w-]+|"(?:\\.|[^"\\])*"|'[^']*'""", re.ASCII)
QUOTES = ("'", '"')


def lines_of(text: str) -> dict[Path, int]:
    """The line of each key and each header, counted from 1. What lies in an inline table has the line of its key."""
    found: dict[Path, int] = {}
    table: Path = ()
    last_of: dict[Path, int] = {}
    for line, statement in _statements(text):
        if statement.startswith("["):
            table = path = _header(statement, last_of)
        else:
            path = _below(table, _keys(statement), last_of)
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], line)
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int:
    """The line of the key, or of the nearest table around it; 0 when none of them is written."""
    found = (lines[path[:length]] for length in range(min(len(path), MAX_DEPTH), 0, -1) if path[:length] in lines)
    return next(found, 0)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header, and each key without its value, with its line."""
    line, begin, depth, begun, has_value = 1, 1, 0, "", False
    for token in _TOKEN.finditer(f"{text}\n"):
        found = token[0]
        if found == "\n" and depth == 0:
            if begun.strip():
                yield begin, begun.strip()
            begun, has_value = "", False
        elif not found.startswith("#"):
            begin = begin if begun.strip() else line
            has_value = has_value or found == "="
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found, 0) if has_value else 0
            begun += "" if has_value else found
        line += found.count("\n")


def _header(statement: str, last_of: dict[Path, int]) -> Path:
    """The path of a header, and of one more table of its array when it has two brackets."""
    keys = _keys(statement)
    if not statement.startswith("[["):
        return _below((), keys, last_of)
    array = (*_below((), keys[:-1], last_of), *keys[-1:])
    last_of[array] = last_of.get(array, -1) + 1
    return (*array, last_of[array])


def _keys(text: str) -> list[str]:
    """The keys of a dotted key, without their quotes."""
    found = (key[0] for key in islice(_KEY.finditer(text), MAX_DEPTH))
    return [tomllib.loads(f"key = {key}")["key"] if key[0] in QUOTES else key for key in found]


def _below(table: Path, keys: list[str], last_of: dict[Path, int]) -> Path:
    """The path of the keys below the table. Below an array of tables, they belong to its last one."""
    path = table
    for key in keys[: MAX_DEPTH - len(table)]:
        path = (*path, key)
        if path in last_of:
            path = (*path, last_of[path])
    return path
