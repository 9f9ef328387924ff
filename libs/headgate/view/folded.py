"""Answers a query from folded state. Every other source must give the same answers."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, assert_never

from headgate.domain.state import ModelState
from headgate.view.fields import Kind, Resource
from headgate.view.query import Key, Query


class Answer(NamedTuple):
    """One page. `next` is its last key, where the next page continues; None at the end."""

    resources: list[Resource]
    next: Key | None


def find(models: Mapping[str, ModelState], query: Query) -> Answer:
    """The page for the query. The resources are the state's own, so copy them before you release its lock."""
    rows = _rows(_resources(models, query), query)
    best = heapq.nlargest if query.order.descending else heapq.nsmallest
    page = best(query.size + 1, rows, key=lambda row: row[0])
    more = len(page) > query.size
    page = page[: query.size]
    return Answer([resource for _, resource in page], page[-1][0] if more else None)


def of_kind(state: ModelState, kind: Kind) -> Iterable[Resource]:
    """All resources of this kind in the model."""
    match kind:
        case Kind.MODEL:
            return (state.model,)
        case Kind.VERSION:
            return state.versions.values()
        case Kind.RELEASE:
            return state.releases.values()
        case _:
            assert_never(kind)


def _resources(models: Mapping[str, ModelState], query: Query) -> Iterator[Resource]:
    if not query.model:
        for state in models.values():
            yield from of_kind(state, query.kind)
    elif query.model in models:
        yield from of_kind(models[query.model], query.kind)


def _rows(resources: Iterable[Resource], query: Query) -> Iterator[tuple[Key, Resource]]:
    order, after = query.order, query.after
    for resource in resources:
        key = order.of(resource)
        if key is not None and (after is None or order.is_after(key, after)) and query.filter.matches(resource):
            yield key, resource
