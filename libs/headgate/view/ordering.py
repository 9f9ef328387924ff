"""One order of a kind's resources, kept sorted by value and id. A page finds its first row by a binary search."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from headgate.view.query import Key

AFTER_EVERY_CHARACTER = "\U0010ffff"
"""Sorts after all other characters, so PREFIX + this is the end of the texts that begin with PREFIX."""


class Range(NamedTuple):
    """The part of an order that a filter leaves: values and ids, both ends included. None is no limit."""

    low: float | None = None
    high: float | None = None
    first_id: str = ""
    last_id: str | None = None


class Ordering:
    """16 bytes for each resource, and 130 more where values change. Not thread-safe."""

    def __init__(self, id_of: Callable[[int], str], is_fixed: bool) -> None:
        self._id_of = id_of
        self._values = array("d")
        self._places = array("Q")
        # The value of each place, to find it again when it changes.
        self._known: dict[int, float] | None = None if is_fixed else {}

    def fill(self, entries: Iterable[tuple[float, int]]) -> None:
        """Sorts these values and places into an empty order."""
        known = list(entries)
        for value, place in sorted(known, key=lambda entry: (entry[0], self._id_of(entry[1]))):
            self._values.append(value)
            self._places.append(place)
        if self._known is not None:
            self._known.update((place, value) for value, place in known)

    def put(self, place: int, value: float | None) -> None:
        """Moves a place to its present value; None takes it out. In a fixed order, call it once for each place."""
        was = self._known.get(place) if self._known is not None else None
        if was == value:
            return
        if was is not None:
            at = self._at(Key(was, self._id_of(place)))
            del self._values[at], self._places[at]
        if value is not None:
            at = self._at(Key(value, self._id_of(place)))
            self._values.insert(at, value)
            self._places.insert(at, place)
        if self._known is not None:
            if value is None:
                del self._known[place]
            else:
                self._known[place] = value

    def between(self, part: Range) -> tuple[int, int]:
        """The first position of a part, and the one after its last."""
        start = 0 if part.low is None else bisect_left(self._values, part.low)
        stop = len(self._values) if part.high is None else bisect_right(self._values, part.high)
        if part.last_id is not None:  # Only orders by text have it, and their values are all 0.
            start = bisect_left(self._places, part.first_id, key=self._id_of)
            stop = bisect_right(self._places, part.last_id, key=self._id_of)
        return start, stop

    def places(self, start: int, stop: int) -> Sequence[int]:
        """The places at these positions."""
        return self._places[start:stop]

    def walk(self, after: Key | None, descending: bool, part: Range) -> Iterator[int]:
        """The places of a part in this order, from the first one after a key."""
        start, stop = self.between(part)
        if descending:
            stop = stop if after is None else min(stop, self._at(after))
            at = range(stop - 1, start - 1, -1)
        else:
            start = start if after is None else max(start, self._behind(after))
            at = range(start, stop)
        places = self._places
        return (places[each] for each in at)

    def _at(self, key: Key) -> int:
        """Where the key is, or would be."""
        low, high = self._equal(key.value)
        return bisect_left(self._places, key.id, low, high, key=self._id_of)

    def _behind(self, key: Key) -> int:
        """The first position after the key."""
        low, high = self._equal(key.value)
        return bisect_right(self._places, key.id, low, high, key=self._id_of)

    def _equal(self, value: float) -> tuple[int, int]:
        values = self._values
        if values and value > values[-1]:
            return len(values), len(values)
        low = bisect_left(values, value)
        return low, bisect_right(values, value, low)
