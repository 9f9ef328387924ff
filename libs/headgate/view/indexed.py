"""Answers queries from indexes over the folded state. A page costs the same however many resources there are.

Each resource of a page is read from the state, and the whole filter is checked on it. So an index may only leave out
what cannot match.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from headgate.access.visibility import WHOLE, Visibility
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import Record
from headgate.v1 import facts_pb2 as facts
from headgate.view.fields import Kind, Resource, Type
from headgate.view.filter import Comparison, Operator
from headgate.view.folded import Answer
from headgate.view.kind_index import FIRST_ORDER, KindIndex, term_hash
from headgate.view.ordering import AFTER_EVERY_CHARACTER, Range
from headgate.view.places import Postings, place_of, split_place
from headgate.view.query import Key, Query
from headgate.view.touched import ResourceRef, refs_of, touched

MAX_LOOKED_AT = 10_000
"""The most places that one page looks at."""
MAX_READ = 1_000
"""The most resources that one page reads. A page that reaches a limit ends early, and the next one continues there."""
MAX_GATHERED = 1_000
"""A query that equalities narrow down to so many places sorts them. With more places it walks along its order."""
MAX_PENDING = 256
"""Changed resources that wait for the next query. With more, the fold's thread brings the indexes up to date."""

ALL = None
"""In the place of a model's number: all models."""

_NUMBERED = {Kind.VERSION: ("version", "name"), Kind.RELEASE: ("release", "name")}
"""Orders that are the order of the numbers within one model."""


class IndexedFold:
    """The folded state with its indexes. Hold the lock of the fold for each call but `start`."""

    def __init__(self, fold: LifecycleFold) -> None:
        self._fold = fold
        self._kinds = {kind: KindIndex(kind) for kind in Kind}
        self._pending: dict[ResourceRef, None] = {}

    def start(self) -> None:
        """Builds the indexes from the state, and keeps them up to date from now on. Call it after the replay."""
        with self._fold.lock:
            self._fold.on_accepted(self._listen)
            add_all(self._kinds, self._fold.models)

    def find(self, query: Query, visibility: Visibility = WHOLE) -> Answer:
        """The page for the query, of the visible models.

        The resources are the state's own, so copy them before you release the lock.
        """
        self._catch_up()
        return find(self._kinds[query.kind], query, visibility)

    def _listen(self, _: Record, record: facts.LifecycleRecord) -> None:
        state = self._fold.streams[record.stream].state
        if isinstance(state, ModelState):
            self._pending.update((ref, None) for ref in touched(state, record))
            if record.HasField("model_labelled"):
                forget_labels(self._kinds)
            if len(self._pending) > MAX_PENDING:
                self._catch_up()

    def _catch_up(self) -> None:
        pending, self._pending = self._pending, {}
        put_all(self._kinds, self._fold.models, pending)


def put_all(kinds: Mapping[Kind, KindIndex], models: Mapping[str, ModelState], changed: Iterable[ResourceRef]) -> None:
    """Brings the indexes up to date with resources that are new or have changed."""
    for ref in changed:
        if ref.model in models:
            kinds[ref.kind].put(models[ref.model], ref.number)


def add_all(kinds: Mapping[Kind, KindIndex], models: Mapping[str, ModelState]) -> None:
    """Adds all resources of the models to new indexes."""
    for state in models.values():
        put_all(kinds, models, refs_of(state))
    for kind, index in kinds.items():
        index.ordering(FIRST_ORDER[kind], None)


def forget_labels(kinds: Mapping[Kind, KindIndex]) -> None:
    """To be called when the labels of a model have changed: it may have become visible, or hidden."""
    for index in kinds.values():
        index.forget_labels()


def find(index: KindIndex, query: Query, visibility: Visibility = WHOLE) -> Answer:
    """The page for the query from the indexes of its kind, of the visible models.

    Nothing of the answer depends on hidden models, its next key neither.
    """
    scope = _scope(index, query, visibility)
    if scope is None:
        return Answer([], None)
    page: list[tuple[int, Resource]] = []
    read, last = 0, 0
    for looked_at, place in enumerate(_walk(index, query, scope)):
        if looked_at == MAX_LOOKED_AT or read == MAX_READ:
            return _answer(index, query, page, last)
        last = place
        if not all(postings.has(place) for postings in scope.postings):
            continue
        read += 1
        resource = index.resource(place)
        if query.filter.matches(resource):
            if len(page) == query.size:
                return _answer(index, query, page, page[-1][0])
            page.append((place, resource))
    return _answer(index, query, page, None)


def _answer(index: KindIndex, query: Query, page: list[tuple[int, Resource]], last: int | None) -> Answer:
    """The answer whose next page starts after the last place; None at the end."""
    after = None if last is None else query.order.of(index.resource(last))
    return Answer([resource for _, resource in page], after)


class _Scope(NamedTuple):
    """What the indexes know of a query: its model, None for all, and the resources of each equality in its filter.

    `few` has the only places that can match, when the beginning of a text leaves few. `seen` has the visible models,
    and is None when all are.
    """

    model: int | None
    postings: list[Postings]
    few: Sequence[int] | None
    visibility: Visibility
    seen: Set[int] | None

    def has(self, place: int) -> bool:
        model = split_place(place)[0]
        return self.model in (ALL, model) and (self.seen is None or model in self.seen)


def _scope(index: KindIndex, query: Query, visibility: Visibility) -> _Scope | None:
    """The scope of a query; None when no resource can match."""
    names = {query.model} if query.model else set()
    equal = [each for each in query.filter.comparisons if _is_equality(each) and each.field.indexed]
    if query.kind is not Kind.MODEL:
        names.update(str(each.value) for each in equal if each.path == "model")
    postings = [index.terms.of(term_hash(each.path, each.value)) for each in equal if each.path != "model"]
    seen = None if visibility.is_whole else index.seen(visibility)
    if not names:
        return _Scope(ALL, postings, _few(index, query), visibility, seen)
    model = index.model(names.pop())
    if names or model is None or (seen is not None and model not in seen):
        return None
    return _Scope(model, postings, _few(index, query), visibility, seen)


def _few(index: KindIndex, query: Query) -> Sequence[int] | None:
    """The places whose text begins as the filter demands, when there are few of them."""
    for each in query.filter.comparisons:
        if each.prefix and each.operator is Operator.EQUAL and not each.negated and index.sorts_text(each.path):
            text = str(each.value)
            ordering = index.text_ordering(each.path)
            start, stop = ordering.between(Range(first_id=text, last_id=text + AFTER_EVERY_CHARACTER))
            if stop - start <= MAX_GATHERED:
                return ordering.places(start, stop)
    return None


def _walk(index: KindIndex, query: Query, scope: _Scope) -> Iterator[int]:
    """The places that may match, in the order of the query, after its first key."""
    if scope.few is not None:
        return _gathered(index, query, [place for place in scope.few if scope.has(place)])
    smallest = min([*scope.postings, index.every], key=lambda each: each.size(scope.model))
    if scope.model is not None and query.order.path in _NUMBERED[query.kind]:
        return _by_number(index, query, scope.model, smallest.of(scope.model))
    if _is_narrow(index, query, scope.model, smallest):
        return _gathered(index, query, [place for place in smallest.places(scope.model) if scope.has(place)])
    if scope.model is ALL and scope.seen is not None:
        ordering = index.visible_ordering(query.order.path, scope.visibility)
    else:
        ordering = index.ordering(query.order.path, scope.model)
    return ordering.walk(query.after, query.order.descending, _range(query))


def _is_narrow(index: KindIndex, query: Query, model: int | None, smallest: Postings) -> bool:
    """Whether to sort these places is cheaper than to walk along the order until a page is full."""
    size, every = smallest.size(model), index.every.size(model)
    if smallest is index.every and model is ALL:
        return False
    return size <= MAX_GATHERED and size * size <= every * (query.size + 1)


def _by_number(index: KindIndex, query: Query, model: int, numbers: Sequence[int]) -> Iterator[int]:
    def key(number: int) -> Key:
        return Key(0.0 if query.order.path == "name" else float(number), index.id_of(place_of(model, number)))

    part = _range(query)
    start = 0 if part.low is None else bisect_left(numbers, part.low)
    stop = len(numbers) if part.high is None else bisect_right(numbers, part.high)
    if query.order.descending:
        if query.after is not None:
            stop = min(stop, bisect_left(numbers, query.after, key=key))
        return (place_of(model, numbers[at]) for at in range(stop - 1, start - 1, -1))
    if query.after is not None:
        start = max(start, bisect_right(numbers, query.after, key=key))
    return (place_of(model, numbers[at]) for at in range(start, stop))


def _gathered(index: KindIndex, query: Query, places: Sequence[int]) -> Iterator[int]:
    order, after = query.order, query.after
    keys = ((order.of(index.resource(place)), place) for place in places)
    rows = [(key, place) for key, place in keys if key is not None and (after is None or order.is_after(key, after))]
    return (place for _, place in sorted(rows, reverse=order.descending))


def _range(query: Query) -> Range:
    """The part of the query's order that its filter leaves."""
    low, high, part = None, None, Range()
    for each in query.filter.comparisons:
        if each.path != query.order.path or each.negated:
            continue
        if each.field.type is Type.TEXT:
            if each.operator is Operator.EQUAL and query.kind is Kind.MODEL:
                text = str(each.value)
                part = Range(first_id=text, last_id=text + AFTER_EVERY_CHARACTER if each.prefix else text)
            continue
        value = float(each.value) if each.operator is not Operator.HAS else 0.0
        if each.operator in (Operator.EQUAL, Operator.MORE, Operator.AT_LEAST):
            low = value if low is None else max(low, value)
        if each.operator in (Operator.EQUAL, Operator.LESS, Operator.AT_MOST):
            high = value if high is None else min(high, value)
    return part if part.last_id is not None else Range(low, high)


def _is_equality(comparison: Comparison) -> bool:
    return comparison.operator is Operator.EQUAL and not comparison.prefix and not comparison.negated
