"""Attaches to an existing view: checks that it was made from this log, and finds the facts that it lacks."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import Stream, parse
from headgate.log import topics
from headgate.log.port import EventLog
from headgate.runtime.redis_client import RedisUnavailable
from headgate.v1 import facts_pb2 as facts
from headgate.view.redis import layout
from headgate.view.redis.reader import Status
from headgate.view.redis.target import Target
from headgate.view.touched import touched

MAX_BEHIND = 5_000
"""A view that lacks at most this many accepted records is updated. One that lacks more is built again."""
FOLD_SECONDS = 10.0
READ_RECORDS = 1_000


class RebuildNeeded(Exception):
    """The view must be built again. `reason` is one of `empty`, `schema`, `behind` and `log-replaced`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check(found: Status, log: EventLog, fold: LifecycleFold) -> None:
    """Checks that the view can be one of this log. Raises RebuildNeeded, RedisUnavailable and LogError."""
    if not found.generation:
        raise RebuildNeeded("empty")
    schema = layout.schema_of(found.generation)
    if schema > layout.SCHEMA:
        raise RedisUnavailable(f"the view has schema {schema} of a newer registry; this one writes {layout.SCHEMA}")
    if schema < layout.SCHEMA:
        raise RebuildNeeded("schema")
    ends = log.end(topics.LIFECYCLE)
    for partition, offset in found.positions.items():
        if offset >= ends.get(partition, 0):
            raise RebuildNeeded("log-replaced")
        if not fold.wait_position(partition, offset, FOLD_SECONDS):
            raise RedisUnavailable(f"partition {partition} is folded less far than the view")


def adopt(found: Status, fold: LifecycleFold) -> tuple[Target, dict[int, list[int]]]:
    """A target at the view's positions, and the offsets of the records accepted since. Hold the fold's lock.

    Raises RebuildNeeded when a head in the view is not the one that the log had at the view's positions.
    """
    missed: dict[int, list[int]] = {}
    for name, stream in fold.streams.items():
        seen = bisect_right(stream.offsets, found.positions.get(stream.partition, -1))
        sequence, digest = found.heads.get(name, (0, b""))
        if seen != sequence or (seen == stream.sequence and digest != stream.digest):
            raise RebuildNeeded("log-replaced")
        if seen < stream.sequence:
            missed.setdefault(stream.partition, []).extend(stream.offsets[seen:])
    if not found.heads.keys() <= fold.streams.keys():
        raise RebuildNeeded("log-replaced")
    if sum(map(len, missed.values())) > MAX_BEHIND:
        raise RebuildNeeded("behind")
    return Target(found.generation, found.positions), missed


def catch_up(
    target: Target,
    found: Status,
    missed: Mapping[int, list[int]],
    log: EventLog,
    fold: LifecycleFold,
) -> None:
    """Marks the changes of the missed records. Raises LogError, and RebuildNeeded when they do not follow the heads."""
    for partition, offsets in missed.items():
        for record in _records(log, partition, sorted(offsets)):
            sequence, digest = found.heads.get(record.stream, (0, b""))
            if record.sequence == sequence + 1 and record.previous_digest != digest:
                raise RebuildNeeded("log-replaced")
            with fold.lock:
                mark(target, fold.streams[record.stream], record)


def mark(target: Target, stream: Stream, record: facts.LifecycleRecord) -> None:
    """Marks what an accepted record of the stream changed. Hold the fold's lock."""
    refs = touched(stream.state, record) if isinstance(stream.state, ModelState) else []
    target.mark(stream.partition, stream.name, refs)


def _records(log: EventLog, partition: int, offsets: list[int]) -> Iterator[facts.LifecycleRecord]:
    wanted, at, last = set(offsets), offsets[0], offsets[-1]
    while at <= last:
        records = log.read(topics.LIFECYCLE, partition, at, READ_RECORDS)
        if not records:
            raise RebuildNeeded("log-replaced")
        for stored in records:
            record = parse(stored.value or b"") if stored.offset in wanted else None
            if record is not None:
                yield record
        at = records[-1].offset + 1
