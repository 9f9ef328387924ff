"""Filters, orders and pages mean the same in the fold and in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headgate.domain.state import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.view import indexed
from headgate.view.fields import Kind
from headgate.view.folded import Answer, find
from headgate.view.kind_index import KindIndex
from headgate.view.query import Query, new_query
from headgate.view.redis import layout
from headgate.view.redis import reader as redis_reader
from headgate.view.redis.reader import RedisReader
from headgate.view.redis.store import Batch, RedisStore
from headgate.view.touched import refs_of, resource_at
from tests.domain.scenario import built, created
from tests.view.material import FLEET, folded, ids

Source = Callable[[Mapping[str, ModelState], Query], Answer]


class InRedis:
    """A view in Redis. It is built again when it gets other models."""

    def __init__(self, url: str) -> None:
        self._store, self._reader = RedisStore(url), RedisReader(url, 5.0)
        self._current, self._shown, self._count = "", None, 0

    def __call__(self, models: Mapping[str, ModelState], query: Query) -> Answer:
        if models is not self._shown:
            self._build(models)
        return self._reader.find(query).answer

    def _build(self, models: Mapping[str, ModelState]) -> None:
        self._count += 1
        generation = f"{layout.SCHEMA}:{self._count}"
        assert self._store.begin(generation, {})
        found = [(ref, state) for state in models.values() for ref in refs_of(state)]
        data = [(ref.kind, resource_at(state, ref).SerializeToString(deterministic=True)) for ref, state in found]
        self._store.write(generation, Batch({}, [layout.row(*each) for each in data]), is_current=False)
        assert self._store.switch(generation, self._current, force=False)
        self._current, self._shown = generation, models

    def close(self) -> None:
        self._store.close()
        self._reader.close()


class InIndexes:
    """The indexes of the fold. They are built again when they get other models."""

    def __init__(self) -> None:
        self._shown: Mapping[str, ModelState] | None = None

    def __call__(self, models: Mapping[str, ModelState], query: Query) -> Answer:
        if models is not self._shown:
            self._kinds = {kind: KindIndex(kind) for kind in Kind}
            indexed.add_all(self._kinds, models)
            self._shown = models
        return indexed.find(self._kinds[query.kind], query)


@pytest.fixture(params=["fold", "indexes", "indexes, walking", "redis", "redis, walking"])
def answer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    if request.param == "fold":
        yield find
        return
    if "indexes" in request.param:
        if "walking" in request.param:
            monkeypatch.setattr(indexed, "MAX_GATHERED", 0)  # No page then sorts what it finds.
        yield InIndexes()
        return
    if "walking" in request.param:
        # One step then reads few rows, so the reader walks the order and needs several steps for a page.
        monkeypatch.setattr(redis_reader, "MAX_SCANNED", 2)
    source = InRedis(request.getfixturevalue("redis_server"))
    yield source
    source.close()


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("", "", ["churn", "fraud", "fraud-eu"]),
        ("", "name desc", ["fraud-eu", "fraud", "churn"]),
        ("name = fraud*", "", ["fraud", "fraud-eu"]),
        ("labels.team = risk", "", ["fraud", "fraud-eu"]),
        ("labels.team = risk AND NOT labels.tier:*", "", ["fraud"]),
        ("labels.team = nobody", "", []),
        ("aliases.champion = 2", "", ["fraud"]),
        ("latest_version >= 1", "latest_version desc", ["fraud", "fraud-eu", "churn"]),
        ("", "create_time", ["churn", "fraud", "fraud-eu"]),
        ("description:*", "", ["churn", "fraud"]),
    ],
)
def test_models_are_found(answer: Source, text: str, order: str, expected: list[str]) -> None:
    query = new_query(Kind.MODEL, filter_text=text, order_by=order)
    assert ids(answer(folded(FLEET), query)) == expected


@pytest.mark.parametrize(
    ("model", "text", "order", "expected"),
    [
        ("fraud", "", "", ["fraud/3", "fraud/2", "fraud/1"]),
        ("fraud", "", "version", ["fraud/1", "fraud/2", "fraud/3"]),
        ("-", "", "", ["fraud-eu/1", "fraud/3", "fraud/2", "fraud/1", "churn/1"]),
        ("-", "label = passed", "name", ["fraud-eu/1", "fraud/1", "fraud/2"]),
        ("-", "build = created", "create_time", ["churn/1", "fraud/3"]),
        ("fraud", "build = created", "", ["fraud/3"]),
        ("-", "tags.dataset = 2026-*", "", ["fraud/2"]),
        ("-", "tags.dataset = 2026-01 AND model = fraud", "", ["fraud/2"]),
        ("-", "metrics.auc >= 0.95", "metrics.auc", ["fraud-eu/1", "fraud/1", "fraud/2"]),
        ("-", "metrics.auc > 0.95", "", []),
        ("-", "", "metrics.auc desc", ["fraud/2", "fraud/1", "fraud-eu/1"]),
        ("-", "", "metrics.recall", []),
        ("-", "verdict = passed AND version > 1", "", ["fraud/2"]),
        ("-", "NOT verdict = passed", "name", ["churn/1", "fraud/3"]),
    ],
)
def test_versions_are_found(answer: Source, model: str, text: str, order: str, expected: list[str]) -> None:
    query = new_query(Kind.VERSION, model=model, filter_text=text, order_by=order)
    assert [id_.replace("/000000000", "/") for id_ in ids(answer(folded(FLEET), query))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["fraud/0000000001"]),
        ("phase = preparing AND active = true AND paused = false", ["fraud/0000000001"]),
        ("environment = staging", []),
        ("candidate = 1 AND strategy = canary", ["fraud/0000000001"]),
    ],
)
def test_releases_are_found(answer: Source, text: str, expected: list[str]) -> None:
    assert ids(answer(folded(FLEET), new_query(Kind.RELEASE, model="-", filter_text=text))) == expected


def test_an_answer_has_whole_resources(answer: Source) -> None:
    models = folded(FLEET)
    found = answer(models, new_query(Kind.VERSION, model="fraud", order_by="version")).resources
    assert found == [models["fraud"].versions[number] for number in (1, 2, 3)]


def test_a_page_continues_after_the_last_one_even_when_models_were_created_meanwhile(answer: Source) -> None:
    history: dict[str, list[object]] = {f"m{number:02d}": [facts.ModelCreated()] for number in range(0, 16, 2)}
    query = new_query(Kind.MODEL, page_size=3)
    first = answer(folded(history), query)
    later = folded({**history, "m01": [facts.ModelCreated()], "m07": [facts.ModelCreated()]})
    second = answer(later, replace(query, after=first.next))
    assert [*ids(first), *ids(second)] == ["m00", "m02", "m04", "m06", "m07", "m08"]


def test_a_page_continues_after_a_version_that_has_moved_in_the_order(answer: Source) -> None:
    query = new_query(Kind.VERSION, filter_text="build = evaluated", order_by="update_time", page_size=1)
    first = answer(folded(FLEET), query)
    moved = {**FLEET, "fraud": [*FLEET["fraud"], facts.VersionTagged(version=1, key="k", value="v")]}
    second = answer(folded(moved), replace(query, after=first.next))
    assert [ids(first), ids(second)] == [["fraud/0000000001"], ["fraud/0000000002"]]


orders = st.sampled_from(["name", "name desc", "version desc", "create_time", "metrics.auc", "metrics.auc desc"])
filters = st.sampled_from(["", "metrics.auc >= 0.5", "build = created", "NOT build = created", "tags.t:*"])
scores = st.sampled_from([0.25, 0.5, 0.75, float("nan"), float("inf")])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(scores, max_size=12), orders, filters, st.integers(1, 5), st.sampled_from(["-", "m0"]))
@example([0.5, float("inf")], "version desc", "metrics.auc >= 0.5", 5, "-")
@example([0.5, 0.5, 0.5, float("inf")], "version desc", "metrics.auc >= 0.5", 1, "-")
def test_all_pages_together_have_every_match_once_and_in_order(
    answer: Source, values: list[float], order: str, text: str, size: int, model: str
) -> None:
    models = folded(fleet_of(values))
    request = {"model": model, "filter_text": text, "order_by": order}
    wanted = find(models, new_query(Kind.VERSION, **request))
    assert paged(answer, models, new_query(Kind.VERSION, page_size=size, **request)) == ids(wanted)
    keys = [new_query(Kind.VERSION, **request).order.of(resource) for resource in wanted.resources]
    assert keys == sorted(keys, reverse=order.endswith("desc"))


COMPARISONS = [
    *(f"version {sign} 2" for sign in ("=", "!=", "<", "<=", ">", ">=")),
    *(f"metrics.auc {sign} 0.95" for sign in ("=", "!=", "<", ">=")),
    "metrics.auc:*",
    "metrics.none:*",
    "model = fraud",
    "model = fraud*",
    "project = default",
    "project = risk",
    "model != fraud",
    "label = passed",
    "build = created",
    "verdict != passed",
    "quarantined = false",
    "tags.dataset:*",
    "tags.dataset = 2026-01",
    "commit = 000*",
    "create_time > 5",
]
comparisons = st.tuples(st.sampled_from(["", "NOT "]), st.sampled_from(COMPARISONS)).map("".join)
FOLDED = folded(FLEET)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(comparisons, max_size=3).map(" AND ".join), orders, st.integers(1, 4))
def test_every_source_returns_the_same_answer(answer: Source, text: str, order: str, size: int) -> None:
    query = new_query(Kind.VERSION, filter_text=text, order_by=order, page_size=size)
    every = replace(query, size=1_000)
    assert paged(answer, FOLDED, query) == ids(find(FOLDED, every))


def fleet_of(values: list[float]) -> dict[str, list[object]]:
    """Versions of three models with these measured values. The versions of the last model were not measured."""
    history: dict[str, list[object]] = {}
    for at, value in enumerate(values):
        name, number = f"m{at % 3}", at // 3 + 1
        history.setdefault(name, []).extend(built(number, auc=value) if name != "m2" else [created(number)])
    return history


def paged(answer: Source, models: Mapping[str, ModelState], query: Query) -> list[str]:
    """The ids on all pages."""
    seen: list[str] = []
    while True:
        page = answer(models, query)
        assert len(page.resources) <= query.size
        seen += ids(page)
        if page.next is None:
            return seen
        query = replace(query, after=page.next)
