"""Sorted places of resources, for the indexes of lists. A place is one number: the model's number, then the resource's.

Numbers of versions and releases only grow, so most places are added at an end.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence

NUMBER_BITS = 32
"""Bits of a place for the number of the version or release. The number of a model is 0."""

_NONE: "array[int]" = array("I")


def place_of(model: int, number: int) -> int:
    """The place of a resource of the model with this number in the index."""
    return model << NUMBER_BITS | number


def split_place(place: int) -> tuple[int, int]:
    """The model's number in the index, and the resource's number."""
    return place >> NUMBER_BITS, place & (1 << NUMBER_BITS) - 1


class Postings:
    """The resources that have one value: for each model their numbers, sorted. 4 bytes for each resource."""

    __slots__ = ("_numbers", "count")

    def __init__(self) -> None:
        self._numbers: dict[int, array[int]] = {}
        self.count = 0

    def of(self, model: int) -> Sequence[int]:
        """The numbers of one model, sorted."""
        return self._numbers.get(model, _NONE)

    def places(self, model: int | None) -> list[int]:
        """The places of one model, or with None of all models."""
        models = self._numbers if model is None else [model]
        return [place_of(each, number) for each in models for number in self.of(each)]

    def size(self, model: int | None) -> int:
        """The number of resources in one model, or with None in all models."""
        return self.count if model is None else len(self.of(model))

    def has(self, place: int) -> bool:
        model, number = split_place(place)
        return has(self.of(model), number)

    def add(self, place: int) -> None:
        model, number = split_place(place)
        numbers = self._numbers.setdefault(model, array("I"))
        if not numbers or number > numbers[-1]:
            numbers.append(number)
        elif has(numbers, number):
            return
        else:
            numbers.insert(bisect_left(numbers, number), number)
        self.count += 1

    def discard(self, place: int) -> None:
        model, number = split_place(place)
        numbers = self._numbers.get(model, _NONE)
        if not has(numbers, number):
            return
        del numbers[bisect_left(numbers, number)]
        self.count -= 1
        if not numbers:
            del self._numbers[model]


def has(numbers: Sequence[int], number: int) -> bool:
    """Whether the sorted numbers have this one."""
    at = bisect_left(numbers, number)
    return at < len(numbers) and numbers[at] == number


class Terms:
    """For each equality, the resources for which it holds.

    An equality is kept as its hash: two with the same hash share their resources, so a reader checks each one. One that
    holds for a single resource, such as most commits, takes about 170 bytes.
    """

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[int, int | Postings] = {}

    def of(self, term: int) -> Postings:
        """The resources of the equality with this hash. The answer may be changed by the next `add`."""
        found = self._found.get(term)
        if isinstance(found, Postings):
            return found
        alone = Postings()
        if found is not None:
            alone.add(found)
        return alone

    def add(self, term: int, place: int) -> None:
        found = self._found.get(term)
        if found is None:
            self._found[term] = place
        elif found != place:
            self._found[term] = several = self.of(term)
            several.add(place)

    def discard(self, term: int, place: int) -> None:
        found = self._found.get(term)
        if isinstance(found, Postings):
            found.discard(place)
            if not found.count:
                del self._found[term]
        elif found == place:
            del self._found[term]
