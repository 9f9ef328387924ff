"""What pages read beside the folded state: the facts of the past, and what the deployer knows of running releases."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from heapq import nlargest
from typing import Protocol

from headgate.lifecycle.past import AtTime, Past
from headgate.lifecycle.stream import Stream
from headgate.log.port import LogError
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.causes import Causes
from services.portal.viewer import Viewer
from services.portal.world import World

MAX_FACTS = 400
"""Facts of one stream that a page reads, the newest of the time that it is about."""


class Pilots(Protocol):
    """Asks the deployer."""

    def pilots(self, viewer: Viewer) -> worker_services.ListPilotsResponse | None: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """`past` reads the log, so it is asked before the lock of the fold is taken."""

    past: Past
    calls: Pilots
    lock: AbstractContextManager[object]
    """Of the fold."""
    streams: Callable[[], Mapping[str, Stream]]
    """Of the fold, under its lock."""
    causes: Causes

    def reading(self, world: World) -> AbstractContextManager[object]:
        """Holds the lock for what a page looks up of the present. The past reads the log, and never under the lock."""
        return nullcontext() if world.is_past else self.lock

    def records(self, stream: str, from_ms: int, until_ms: int) -> Sequence[facts.LifecycleRecord]:
        """The facts of a stream between two times; empty when the log cannot be read now."""
        found = self.past.facts(stream)
        wanted = [each.sequence for each in found if from_ms <= each.time_ms <= until_ms][-MAX_FACTS:]
        if not wanted:
            return ()
        try:
            return [each.record for each in self.past.records(stream, wanted[0] - 1, wanted[-1])]
        except LogError:
            return ()

    def newest(self, streams: Sequence[str], until_ms: int, most: int) -> Sequence[facts.LifecycleRecord]:
        """The newest facts of these streams up to a time, the newest first; empty when the log cannot be read now."""
        moment = AtTime(until_ms)
        found: list[tuple[int, str, int]] = []
        for name in streams:
            last = self.past.sequence(name, moment)
            with self.lock:
                times = self.streams()[name].times_ms[max(0, last - most) : last] if last else ()
            found += ((time_ms, name, last - len(times) + place) for place, time_ms in enumerate(times, start=1))
        first: dict[str, list[int]] = {}
        for _, name, sequence in nlargest(most, found):
            first.setdefault(name, []).append(sequence)
        try:
            records = [
                each.record
                for name, sequences in first.items()
                for each in self.past.records(name, min(sequences) - 1, max(sequences))
            ]
        except LogError:
            return ()
        return sorted(records, key=lambda record: record.occurred_at_ms, reverse=True)
