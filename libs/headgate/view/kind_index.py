"""The indexes over all resources of one kind: by equality and by order. They hold places, and read the state itself."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from headgate.access.visibility import Visibility
from headgate.domain.state import ModelState
from headgate.view.fields import FIELDS, Field, Kind, Resource, Type, Value, field_of, sort_value, term
from headgate.view.ordering import Ordering
from headgate.view.places import Postings, Terms, place_of, split_place
from headgate.view.touched import ResourceRef, resource_at

MAX_ORDERS = 32
"""Orders of a kind that are kept sorted. The one that was used least recently gives way to a new one."""
MAX_VISIBILITIES = 64
"""Visibilities of a kind whose models are known, and orders that are kept sorted for them, in the same way."""
FIRST_ORDER = {Kind.MODEL: "name", Kind.VERSION: "create_time", Kind.RELEASE: "create_time"}
"""The default order over all models. It is sorted at the start, the others when they are first asked for."""

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Named = list[tuple[str, Field]]
Entries = tuple[int, ...]
Sorted = tuple[Ordering, Field, str]
"""An order, and the field and the key that it sorts by."""


class KindIndex:
    """Not thread-safe: the lock of the fold guards it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.every = Postings()
        self.terms = Terms()
        self._states: list[ModelState] = []
        self._models: dict[str, int] = {}
        self._words = _fields(kind, lambda field: field.type in (Type.WORD, Type.FLAG))
        self._texts = _fields(kind, lambda field: field.type is Type.TEXT and not field.fixed)
        # The model of a version or release needs no index, because each place has it.
        self._fixed = [each for each in _fields(kind, lambda field: field.fixed) if each[0] != "model"]
        # The terms of each resource, by model and number, to take out those that end. Words have few combinations, and
        # resources share them.
        self._words_seen: list[list[Entries | None]] = []
        self._shared: dict[tuple[Value | None, ...], Entries] = {}
        self._texts_seen: dict[int, Entries] = {}
        self._orders: dict[tuple[str, int | None], Sorted] = {}
        self._seen: dict[Visibility, set[int]] = {}
        self._visible_orders: dict[tuple[str, Visibility], Sorted] = {}
        self._by_text: dict[str, Ordering] = {}

    def model(self, name: str) -> int | None:
        """The number of a model in the index; None when it has no resource."""
        return self._models.get(name)

    def resource(self, place: int) -> Resource:
        """The state's own resource at a place. It must be in the index."""
        model, number = split_place(place)
        state = self._states[model]
        found = resource_at(state, ResourceRef(self.kind, state.name, number))
        assert found is not None, f"{self.kind.value} {state.name}/{number} is in the index and not in the state"
        return found

    def id_of(self, place: int) -> str:
        """The id of the resource at a place, as `resource_id` makes it."""
        model, number = split_place(place)
        name = self._states[model].name
        return name if self.kind is Kind.MODEL else f"{name}/{number:010d}"

    def put(self, state: ModelState, number: int) -> None:
        """Brings the indexes up to date with a resource that is new or has changed."""
        resource = resource_at(state, ResourceRef(self.kind, state.name, number))
        if resource is None:
            return
        place = place_of(self._model_number(state), number)
        is_new = not self.every.has(place)
        if is_new:
            self.every.add(place)
            for path, field in self._fixed:
                self._change(place, (), _terms(path, field, resource))
        self._put_words(place, resource)
        self._put_texts(place, resource)
        self._put_in_orders(place, resource, is_new)

    def _put_in_orders(self, place: int, resource: Resource, is_new: bool) -> None:
        for (_, model), (ordering, field, key) in self._orders.items():
            if (is_new or not field.fixed) and model in (None, split_place(place)[0]):
                ordering.put(place, sort_value(field, key, resource))
        for (_, visibility), (ordering, field, key) in self._visible_orders.items():
            if (is_new or not field.fixed) and split_place(place)[0] in self._seen[visibility]:
                ordering.put(place, sort_value(field, key, resource))
        if is_new:
            for by_text in self._by_text.values():
                by_text.put(place, 0.0)

    def ordering(self, path: str, model: int | None) -> Ordering:
        """The order of a field in one model, or with None in all models. The first call sorts it."""
        return _kept(self._orders, (path, model), MAX_ORDERS, lambda: self._sorted(path, self.every.places(model)))[0]

    def visible_ordering(self, path: str, visibility: Visibility) -> Ordering:
        """The order of a field in all visible models. The first call sorts it."""

        def sort() -> Sorted:
            return self._sorted(path, [place for model in self.seen(visibility) for place in self.every.places(model)])

        return _kept(self._visible_orders, (path, visibility), MAX_VISIBILITIES, sort)[0]

    def seen(self, visibility: Visibility) -> set[int]:
        """The numbers of the visible models."""
        if visibility not in self._seen and len(self._seen) >= MAX_VISIBILITIES:
            self._forget(next(iter(self._seen)))

        def look() -> set[int]:
            return {number for number, state in enumerate(self._states) if _sees(visibility, state)}

        return _kept(self._seen, visibility, MAX_VISIBILITIES, look)

    def forget_labels(self) -> None:
        """Forgets what depends on labels."""
        for visibility in [each for each in self._seen if each.looks_at_labels]:
            self._forget(visibility)

    def _forget(self, visibility: Visibility) -> None:
        del self._seen[visibility]
        for key in [key for key in self._visible_orders if key[1] == visibility]:
            del self._visible_orders[key]

    def sorts_text(self, path: str) -> bool:
        """Whether resources can be found by the beginning of this field."""
        return any(path == name and field.type is Type.TEXT for name, field in self._fixed)

    def text_ordering(self, path: str) -> Ordering:
        """The order by a text that never changes, such as the commit. The first call sorts it."""
        found = self._by_text.get(path)
        if found is None:
            read = FIELDS[self.kind][path].read
            found = Ordering(lambda place: str(read(self.resource(place), "") or ""), is_fixed=True)
            found.fill((0.0, place) for place in self.every.places(None))
            self._by_text[path] = found
        return found

    def _sorted(self, path: str, places: Iterable[int]) -> Sorted:
        resolved = field_of(self.kind, path)
        assert resolved is not None, f"{path} is no field of a {self.kind.value}"
        ordering = Ordering(self.id_of, resolved[0].fixed)
        values = ((sort_value(*resolved, self.resource(place)), place) for place in places)
        ordering.fill((value, place) for value, place in values if value is not None)
        return ordering, *resolved

    def _model_number(self, state: ModelState) -> int:
        number = self._models.setdefault(state.name, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._words_seen.append([])
            for visibility, models in self._seen.items():
                if _sees(visibility, state):
                    models.add(number)
        return number

    def _put_words(self, place: int, resource: Resource) -> None:
        values = tuple(field.read(resource, "") for _, field in self._words)
        entries = self._shared.get(values)
        if entries is None:
            found = zip(self._words, values, strict=True)
            entries = tuple(term_hash(path, value) for (path, _), value in found if value is not None)
            self._shared[values] = entries
        model, number = split_place(place)
        seen = self._words_seen[model]
        seen.extend([None] * (number + 1 - len(seen)))
        was, seen[number] = seen[number], entries
        if was is not entries:
            self._change(place, was or (), entries)

    def _put_texts(self, place: int, resource: Resource) -> None:
        entries = tuple(each for path, field in self._texts for each in _terms(path, field, resource))
        was = self._texts_seen.get(place, ())
        if was == entries:
            return
        self._change(place, was, entries)
        if entries:
            self._texts_seen[place] = entries
        else:
            del self._texts_seen[place]

    def _change(self, place: int, was: Entries, now: Entries) -> None:
        for each in was:
            if each not in now:
                self.terms.discard(each, place)
        for each in now:
            if each not in was:
                self.terms.add(each, place)


def _sees(visibility: Visibility, state: ModelState) -> bool:
    return visibility.shows(state.name, state.model.labels)


def _kept(kept: dict[Key, Found], key: Key, most: int, find: Callable[[], Found]) -> Found:
    """What is kept under the key, as the one that was used last. When it is new, the one used first may give way."""
    found = kept.pop(key, None)
    if found is None:
        found = find()
        if len(kept) >= most:
            del kept[next(iter(kept))]
    kept[key] = found
    return found


def term_hash(path: str, value: Value) -> int:
    """The name of an equality in the indexes."""
    return hash(term(path, value))


def _fields(kind: Kind, wanted: Callable[[Field], bool]) -> Named:
    return [(path, field) for path, field in FIELDS[kind].items() if field.indexed and wanted(field)]


def _terms(path: str, field: Field, resource: Resource) -> Entries:
    if field.keys is None:
        value = field.read(resource, "")
        return () if value is None else (term_hash(path, value),)
    found = ((f"{path}.{key}", field.read(resource, key)) for key in field.keys(resource))
    return tuple(term_hash(each, value) for each, value in found if value is not None)
