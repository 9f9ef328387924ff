"""Reads accepted records of the lifecycle topic at known places."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from headgate.lifecycle.stream import parse
from headgate.log import topics
from headgate.log.port import EventLog, RecordsLost
from headgate.v1 import facts_pb2 as facts

Place = tuple[int, int]
"""Partition and offset of one record."""

MAX_GAP = 8
"""Up to this many unwanted records between two wanted ones are read too, because that is cheaper than a second read."""
MAX_SPAN = 500
"""Records in one read."""


class Found(NamedTuple):
    """A record at a place: its exact bytes, and what they say."""

    place: Place
    value: bytes
    record: facts.LifecycleRecord


def records_at(log: EventLog, places: Sequence[Place]) -> Iterator[Found]:
    """The records at these places, which must be in order. Raises LogError, RecordsLost for one that is not there."""
    found: Mapping[Place, bytes | None] = {}
    for at, place in enumerate(places):
        if place not in found:
            found = _read(log, place, offsets_to_read(places, at))
        value = found.get(place)
        record = parse(value) if value is not None else None
        if value is None or record is None:
            raise RecordsLost(f"the record in partition {place[0]} at offset {place[1]} cannot be read")
        yield Found(place, value, record)


def offsets_to_read(places: Sequence[Place], at: int) -> int:
    """How many offsets to read, beginning with the place at index `at`. Includes the places that follow closely."""
    partition, first = places[at]
    last = first
    for index in range(at + 1, len(places)):
        following, offset = places[index]
        if following != partition or offset - last > MAX_GAP or offset - first >= MAX_SPAN:
            break
        last = offset
    return last - first + 1


def _read(log: EventLog, place: Place, limit: int) -> Mapping[Place, bytes | None]:
    """The records from this place on. If the record there was deleted, the log returns the ones after it."""
    partition, offset = place
    return {(partition, at): value for at, value in log.values(topics.LIFECYCLE, partition, offset, limit)}
