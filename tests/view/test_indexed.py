"""The indexes of the fold answer as a scan of the whole state does, and a page reads few resources."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.access.grants import Bound
from headgate.access.visibility import WHOLE, Visibility
from headgate.domain import model
from headgate.domain.fact import FIELD_OF
from headgate.domain.state import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.view import indexed, kind_index
from headgate.view.fields import Kind, Resource
from headgate.view.folded import find
from headgate.view.kind_index import KindIndex
from headgate.view.query import Query, new_query
from headgate.view.touched import ResourceRef, touched
from tests.domain.scenario import built, claimed, created, gate, ready, requested, stamp, started
from tests.view.material import ids


class Indexed:
    """Models and their indexes, which follow fact by fact."""

    def __init__(self) -> None:
        self.models: dict[str, ModelState] = {}
        self.kinds = {kind: KindIndex(kind) for kind in Kind}
        indexed.add_all(self.kinds, self.models)
        self._sequence = 0

    def fold(self, name: str, *happened: object, at_ms: int | None = None) -> None:
        state = self.models.setdefault(name, ModelState(name))
        for fact in happened:
            self._sequence += 1
            model.evolve(state, fact, stamp(self._sequence, at_ms or self._sequence))  # type: ignore[arg-type]
            record = facts.LifecycleRecord(**{FIELD_OF[type(fact).__name__]: fact})  # type: ignore[arg-type]
            indexed.put_all(self.kinds, self.models, touched(state, record))
            if record.HasField("model_labelled"):
                indexed.forget_labels(self.kinds)

    def step(self, name: str, what: str, value: int) -> None:
        """One thing that happens to a model, as far as its state allows it."""
        state = self.models.get(name)
        count = len(state.versions) if state is not None else 0
        chosen = value % count + 1 if count else 0
        if what == "create":
            self.fold(name, created(count + 1), at_ms=value + 1)  # Two partitions may give times in any order.
        elif what == "build":
            self.fold(name, *built(count + 1, auc=value / 4))
        elif what == "pass":
            self.fold(name, *built(count + 1), gate(count + 1))
        elif what == "label" and count:
            self.fold(name, facts.ModelLabelled(key="team", value=("", "risk", "growth")[value % 3]))
        elif what == "tag" and count:
            self.fold(name, facts.VersionTagged(version=chosen, key="t", value=("", "a", "b")[value % 3]))
        elif what == "quarantine" and count:
            self.fold(name, facts.CandidateQuarantined(version=chosen))
        elif what == "release" and state is not None and not state.releases:
            self.fold(name, *built(count + 1), gate(count + 1), requested(1, count + 1), started(1), ready(1))

    def pages(self, query: Query, visibility: Visibility = WHOLE) -> list[str]:
        seen: list[str] = []
        while True:
            page = indexed.find(self.kinds[query.kind], query, visibility)
            assert len(page.resources) <= query.size
            assert page.next is None or self.visible(visibility).keys() >= {page.next.id.partition("/")[0]}
            seen += ids(page)
            if page.next is None:
                return seen
            query = replace(query, after=page.next)

    def visible(self, visibility: Visibility) -> dict[str, ModelState]:
        return {name: state for name, state in self.models.items() if visibility.shows(name, state.model.labels)}

    def scanned(self, query: Query, visibility: Visibility = WHOLE) -> list[str]:
        return ids(find(self.visible(visibility), replace(query, size=1_000)))


VERSION_FILTERS = (
    "",
    "build = created",
    "NOT build = created",
    "label = passed AND quarantined = false",
    "quarantined = true",
    "tags.t = a",
    "tags.t = a AND build = created",
    "commit = 0000000000000000000000000000000000000001",
    "commit = 000000000000000000000000000000000000000*",
    "commit = nothing*",
    "model = m0 AND version >= 2",
    "model = m0 AND model = m1",
    "project = p",
    "project = default AND build = created",
    "NOT project = p*",
    "version > 1 AND version <= 3",
    "metrics.auc >= 0.5",
    "create_time > 3",
    "attempt = 1",
)
VERSION_ORDERS = ("", "name", "name desc", "version", "create_time", "update_time desc", "metrics.auc", "version desc")
QUERIES = [
    *((Kind.VERSION, *each) for each in product(("-", "m0"), VERSION_FILTERS, VERSION_ORDERS)),
    *((Kind.RELEASE, *each) for each in product(("-", "m1"), ("", "active = true", "environment = none"), ("",))),
    *(
        (Kind.MODEL, *each)
        for each in product([""], ("", "labels.team = risk", "name = m*", "project = p"), ("", "create_time"))
    ),
    *((Kind.MODEL, "", text, "latest_version desc") for text in ("", "latest_version > 1", "name = m1")),
]
VISIBILITIES = tuple(
    Visibility(frozenset(map(Bound, allowed)), frozenset(map(Bound, denied)))
    for allowed, denied in (
        (["m1"], []),
        (["m0*"], []),
        (["p.*"], []),
        (["default.*"], ["m0"]),
        (["*"], ["team=risk"]),
        (["team=risk", "p.*"], []),
        ([], []),
    )
)
STEPS = ("create", "create", "build", "pass", "label", "tag", "tag", "quarantine", "release")
steps = st.tuples(st.sampled_from(["m0", "m1", "m0-b", "p.m0"]), st.sampled_from(STEPS), st.integers(0, 7))


@pytest.mark.parametrize("limits", [{}, {"MAX_GATHERED": 0, "MAX_LOOKED_AT": 3, "MAX_READ": 2}], ids=["usual", "tight"])
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_indexes_answer_as_a_scan_does_after_any_history(
    limits: dict[str, int], data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(indexed, name, value)
    state = Indexed()
    for history in data.draw(st.lists(st.lists(steps, max_size=8), min_size=1, max_size=4)):
        for step in history:
            state.step(*step)
        for kind, scope, text, order in data.draw(st.lists(st.sampled_from(QUERIES), min_size=1, max_size=6)):
            size = data.draw(st.integers(1, 4))
            query = new_query(kind, model=scope, filter_text=text, order_by=order, page_size=size)
            assert state.pages(query) == state.scanned(query), query
            visibility = data.draw(st.sampled_from(VISIBILITIES))
            assert state.pages(query, visibility) == state.scanned(query, visibility), (query, visibility)


class Counting(KindIndex):
    """Counts the resources that are read."""

    read = 0

    def resource(self, place: int) -> Resource:
        self.read += 1
        return super().resource(place)


@pytest.mark.parametrize("model", ["fraud", "-"])
@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", ""),
        ("build = created", ""),
        ("tags.team = risk", ""),
        ("commit = 000000000000000000000000000000000000000a", ""),
        ("version <= 40", "version desc"),
        ("create_time <= 40", "create_time desc"),
    ],
)
def test_a_page_reads_as_much_of_many_versions_as_of_few(model: str, text: str, order: str) -> None:
    assert _read(1_000, model, text, order) <= _read(200, model, text, order)


def test_a_state_is_found_without_reading_those_that_have_left_it() -> None:
    state = ModelState("fraud")
    kinds = {**{kind: KindIndex(kind) for kind in Kind}, Kind.VERSION: (index := Counting(Kind.VERSION))}
    for number in range(1, 51):
        model.evolve(state, created(number), stamp(number, number))
    indexed.add_all(kinds, {"fraud": state})
    for number in range(1, 49):
        model.evolve(state, claimed(number), stamp(50 + number, 50 + number))
        indexed.put_all(kinds, {"fraud": state}, [ResourceRef(Kind.VERSION, "fraud", number)])
    index.read = 0
    page = indexed.find(index, new_query(Kind.VERSION, model="fraud", filter_text="build = created"))
    assert ([version.version for version in page.resources], index.read) == ([50, 49], 2)


def test_a_page_of_a_rare_match_ends_early_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "MAX_READ", 50)
    index = _versions(200)
    page = indexed.find(index, new_query(Kind.VERSION, model="fraud", filter_text="attempt > 0"))
    assert (page.resources, page.next) == ([], (151.0, "fraud/0000000151"))


def test_a_page_continues_at_its_place_while_versions_are_created() -> None:
    state = Indexed()
    state.fold("fraud", *(created(number) for number in range(1, 8)))
    query = new_query(Kind.VERSION, model="fraud", page_size=3)
    first = indexed.find(state.kinds[Kind.VERSION], query)
    state.fold("fraud", created(8), created(9))
    second = indexed.find(state.kinds[Kind.VERSION], replace(query, after=first.next))
    assert [version.version for version in (*first.resources, *second.resources)] == [7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize("order", ["", "update_time", "name desc", "metrics.auc"])
def test_a_page_in_sight_reads_nothing_of_the_models_of_others(order: str) -> None:
    index, visibility = _versions(300, others=("other.a", "other.b")), Visibility(frozenset({Bound("default.*")}))
    query = new_query(Kind.VERSION, order_by=order, page_size=10)
    indexed.find(index, query, visibility)
    index.read = 0
    page = indexed.find(index, query, visibility)
    assert all(resource.name.startswith("models/fraud/") for resource in page.resources)
    assert index.read <= 2 * (query.size + 2)


def test_sights_are_bounded_and_the_one_used_least_recently_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind_index, "MAX_VISIBILITIES", 3)
    index, query = _versions(40, others=("other.a",)), new_query(Kind.VERSION, page_size=3)
    for _ in range(2):
        for number in range(5):
            visibility = Visibility(frozenset({Bound("other.*"), Bound(f"nothing-{number}")}))
            assert len(indexed.find(index, query, visibility).resources) == 3


def _versions(count: int, others: tuple[str, ...] = ()) -> Counting:
    state = ModelState("fraud")
    for number in range(1, count + 1):
        model.evolve(state, created(number), stamp(number, number))
    for number in range(10, 30):
        model.evolve(state, facts.VersionTagged(version=number, key="team", value="risk"), stamp(count + number, 1))
    index = Counting(Kind.VERSION)
    models = {"fraud": state}
    for name in others:
        models[name] = ModelState(name)
        for number in range(1, count + 1):
            model.evolve(models[name], created(number), stamp(number, number))
    indexed.add_all({**{kind: KindIndex(kind) for kind in Kind}, Kind.VERSION: index}, models)
    return index


def _read(count: int, model_name: str, text: str, order: str) -> int:
    index = _versions(count)
    query = new_query(Kind.VERSION, model=model_name, filter_text=text, order_by=order)
    indexed.find(index, query)  # The first one of an order sorts it.
    index.read = 0
    indexed.find(index, query)
    assert index.read
    return index.read
