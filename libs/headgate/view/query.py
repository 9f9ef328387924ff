"""A query for a list or a search: scope, filter, order and the start of its page. Pure.

A page starts after a key, not at a row number. So resources that are created meanwhile neither repeat nor hide a row.
"""

import base64
import binascii
import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from headgate.view.fields import Field, Kind, Resource, field_of, model_of, paths, resource_id, sort_value, term
from headgate.view.filter import BadQuery, Filter, Operator, parse

MAX_PAGE = 1_000
DEFAULT_PAGE = 100
MAX_ORDER = 200
MAX_TOKEN = 1_000
ANY_MODEL = "-"

_ORDER = re.compile(r"\s*(?P<path>[^\s,]+)(?:\s+(?P<direction>asc|desc))?\s*")


class Key(NamedTuple):
    """The position of a resource in an order: its value, then its id."""

    value: float
    id: str


@dataclass(frozen=True, slots=True)
class Order:
    """Sorts by a field, and by id where the values are equal. Resources without the field are left out."""

    path: str
    field: Field
    key: str
    descending: bool

    def of(self, resource: Resource) -> Key | None:
        value = sort_value(self.field, self.key, resource)
        return None if value is None else Key(value, resource_id(resource))

    def is_after(self, key: Key, other: Key) -> bool:
        """Whether `key` comes later in this order."""
        return key < other if self.descending else key > other


@dataclass(frozen=True, slots=True)
class Query:
    """`model` is empty for all models. `after` is the last key of the previous page."""

    kind: Kind
    model: str
    filter: Filter
    order: Order
    size: int
    after: Key | None
    digest: str

    def matches(self, resource: Resource) -> bool:
        return (not self.model or model_of(resource) == self.model) and self.filter.matches(resource)

    def terms(self) -> list[str]:
        """The equalities of this query that an index can answer. The filter may have more conditions."""
        found = [term("model", self.model)] if self.model else []
        for each in self.filter.comparisons:
            if each.field.indexed and each.operator is Operator.EQUAL and not each.prefix and not each.negated:
                found.append(term(each.path, each.value))
        return found

    def present(self) -> list[str]:
        """Further ordered fields that every result has, because the filter compares them. Their orders are indexes."""
        comparisons = [each for each in self.filter.comparisons if each.field.keyed and not each.negated]
        found = [each.path for each in comparisons if each.field.ordered]
        return [path for path in dict.fromkeys(found) if path != self.order.path]


def new_query(
    kind: Kind,
    model: str = "",
    filter_text: str = "",
    order_by: str = "",
    page_size: int = 0,
    page_token: str = "",
    moment: bytes = b"",
) -> Query:
    """The query of a request. `moment` is the one of the past that it asks for, in any form; empty for the present.

    Raises BadQuery, which names the wrong field of the request.
    """
    if page_size < 0:
        raise BadQuery("page_size", f"page_size is {page_size}: expected 0 or more")
    scope = "" if model == ANY_MODEL else model
    order = _order(kind, order_by or _default_order(kind, scope))
    of_moment = (moment.hex(),) if moment else ()
    digest = _digest(kind.value, scope, filter_text.strip(), order.path, str(order.descending), *of_moment)
    after = _after(page_token, digest) if page_token else None
    return Query(kind, scope, parse(kind, filter_text), order, page_rows(page_size), after, digest)


def page_rows(requested: int) -> int:
    """The most rows of a page, for the page size of a request. 0 or less gives the default size."""
    return min(requested if requested > 0 else DEFAULT_PAGE, MAX_PAGE)


def page_token(query: Query, last: Key) -> str:
    """An opaque token for the page after `last`. It is valid for the same filter, order and moment only."""
    body = json.dumps([query.digest, repr(last.value), last.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _after(token: str, digest: str) -> Key:
    refused = BadQuery("page_token", f"page_token is {token[:50]!r}: expected the next_page_token of the previous page")
    if len(token) > MAX_TOKEN:
        raise refused
    try:
        token_digest, value, last = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        key = Key(float(value), str(last))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise refused from None
    if math.isnan(key.value) or not key.id.isascii():
        raise refused
    if token_digest != digest:
        raise BadQuery(
            "page_token", "page_token belongs to another parent, filter, order or moment: start at the first page"
        )
    return key


def _default_order(kind: Kind, model: str) -> str:
    if kind is Kind.MODEL:
        return "name"
    return f"{kind.value} desc" if model else "create_time desc"


def _order(kind: Kind, text: str) -> Order:
    match = _ORDER.fullmatch(text[:MAX_ORDER])
    resolved = field_of(kind, match["path"]) if match else None
    if match is None or resolved is None or not resolved[0].ordered or len(text) > MAX_ORDER:
        expected = f"one of {paths(kind, ordered=True)}, with an optional asc or desc"
        raise BadQuery("order_by", f"order_by is {text[:50]!r}: expected {expected}")
    return Order(match["path"], *resolved, match["direction"] == "desc")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
