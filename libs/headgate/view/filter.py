"""Filters, a subset of AIP-160: comparisons `[NOT] field operator value`, joined by AND. Pure.

When a resource does not have the field, the comparison is false, and its NOT is true.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from headgate.view.fields import Field, Kind, Resource, Type, Value, field_of, paths

MAX_FILTER = 2_000
"""The most characters of a filter."""
MAX_COMPARISONS = 20

_TOKEN = re.compile(
    r"""\s*(?: "(?P<text>(?:[^"\\]|\\.)*)" | (?P<time>\d{4}-\d\d-\d\d[Tt]\d\d:[\w\-.:+]+)
        | (?P<operator><=|>=|!=|[=<>:]) | (?P<word>[\w\-./@+*]+) )""",
    re.VERBOSE,
)


class BadQuery(Exception):
    """The request is invalid: `field` is the wrong field, the message says what was expected where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Operator(Enum):
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    HAS = ":"


_ORDERED: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison. With `prefix`, the text only has to begin with the value."""

    path: str
    field: Field
    key: str
    operator: Operator
    value: Value
    prefix: bool = False
    negated: bool = False

    def matches(self, resource: Resource) -> bool:
        return self._holds(self.field.read(resource, self.key)) is not self.negated

    def _holds(self, found: Value | None) -> bool:
        if found is None:
            return False
        if self.operator is Operator.HAS:
            return True
        if self.operator in (Operator.EQUAL, Operator.UNEQUAL):
            return self._equal(found) is (self.operator is Operator.EQUAL)
        # The parser allows these operators for numbers and times only.
        return _ORDERED[self.operator](float(found), float(self.value))

    def _equal(self, found: Value) -> bool:
        return str(found).startswith(str(self.value)) if self.prefix else found == self.value


@dataclass(frozen=True, slots=True)
class Filter:
    """Matches a resource when all comparisons hold. Without comparisons it matches everything."""

    comparisons: tuple[Comparison, ...] = ()

    def matches(self, resource: Resource) -> bool:
        return all(comparison.matches(resource) for comparison in self.comparisons)


def parse(kind: Kind, text: str) -> Filter:
    """Parses a filter. Raises BadQuery with the position and what was expected there."""
    if len(text) > MAX_FILTER:
        raise BadQuery("filter", f"filter has {len(text)} characters: at most {MAX_FILTER} are allowed")
    tokens = [*_tokens(text), _Token("end", "", len(text.rstrip()))]
    if len(tokens) == 1:
        return Filter()
    found: list[Comparison] = []
    at = 0
    while True:
        comparison, at = _comparison(kind, tokens, at)
        found.append(comparison)
        if len(found) > MAX_COMPARISONS:
            raise BadQuery("filter", f"filter has too many comparisons: at most {MAX_COMPARISONS} are allowed")
        if tokens[at].kind == "end":
            return Filter(tuple(found))
        if tokens[at][:2] != ("word", "AND"):
            raise _unexpected(tokens[at], "AND or the end")
        at += 1


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            place = at + len(text[at:]) - len(text[at:].lstrip())
            found = "an open quote, expected another one behind the value" if text[place] == '"' else repr(text[place])
            raise BadQuery("filter", f"filter at character {place + 1}: unexpected {found}")
        kind = str(match.lastgroup)
        yield _Token("word" if kind == "time" else kind, match[kind], match.start(kind))
        at = match.end()


def _unexpected(token: _Token, expected: str) -> BadQuery:
    shown = "the end" if token.kind == "end" else repr(token.text[:50])
    return BadQuery("filter", f"filter at character {token.at + 1}: found {shown}, expected {expected}")


def _comparison(kind: Kind, tokens: list[_Token], at: int) -> tuple[Comparison, int]:
    negated = tokens[at][:2] == ("word", "NOT")
    name, sign, literal, *_ = [*tokens[at + negated :], tokens[-1], tokens[-1]]
    resolved = field_of(kind, name.text) if name.kind == "word" else None
    if resolved is None:
        raise _unexpected(name, f"a field: {paths(kind)}")
    field, key = resolved
    allowed = _operators(field)
    if sign.kind != "operator" or Operator(sign.text) not in allowed:
        raise _unexpected(sign, f"an operator of {name.text}: {' '.join(each.value for each in allowed)}")
    if literal.kind not in ("text", "word"):
        raise _unexpected(literal, "a value")
    chosen = Operator(sign.text)
    value: Value
    if chosen is Operator.HAS:
        if literal.text != "*":
            raise _unexpected(literal, "*, which tests whether the field exists")
        value, prefix = "", False
    elif field.type is Type.TEXT:
        value, prefix = _text(literal, "models/" if kind is Kind.MODEL and name.text == "name" else "")
    else:
        value, prefix = _VALUES[field.type](literal, field), False
    return Comparison(name.text, field, key, chosen, value, prefix, negated), at + negated + 3


def _operators(field: Field) -> tuple[Operator, ...]:
    if field.type in (Type.NUMBER, Type.TIME):
        return tuple(Operator)
    return (Operator.EQUAL, Operator.UNEQUAL, Operator.HAS)


def _text(token: _Token, optional_prefix: str) -> tuple[str, bool]:
    text = _plain(token).removeprefix(optional_prefix)
    prefix = token.text.endswith("*") and not token.text.endswith("\\*")
    return (text[:-1] if prefix else text), prefix


def _plain(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text)


def _word(token: _Token, field: Field) -> str:
    word = _plain(token).lower().replace(" ", "_")
    if word not in field.words:
        raise _unexpected(token, f"one of {', '.join(field.words)}")
    return word


def _flag(token: _Token, field: Field) -> bool:
    if token.text not in ("true", "false"):
        raise _unexpected(token, field.type.value)
    return token.text == "true"


def _number(token: _Token, field: Field) -> float:
    try:
        number = float(token.text)
    except ValueError:
        raise _unexpected(token, field.type.value) from None
    if math.isnan(number):
        raise _unexpected(token, field.type.value)
    return number


def _time(token: _Token, field: Field) -> float:
    if token.text.isdecimal():
        return float(token.text)
    try:
        time = datetime.fromisoformat(token.text)
    except ValueError:
        raise _unexpected(token, field.type.value) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000


_VALUES: Mapping[Type, Callable[[_Token, Field], Value]] = {
    Type.WORD: _word,
    Type.FLAG: _flag,
    Type.NUMBER: _number,
    Type.TIME: _time,
}
