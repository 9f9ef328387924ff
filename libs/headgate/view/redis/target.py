"""What one generation of the view has yet to be told: resources by partition, the last state of each only."""

from collections.abc import Iterable, Mapping

from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.view.redis import layout
from headgate.view.redis.store import Batch, Detached, RedisStore
from headgate.view.touched import Place, resource_at

MAX_PENDING = 20_000
"""Changed resources kept while Redis is away; beyond it they are dropped and read from the log again."""


class Target:
    """A generation, the positions it stands at, and what changed since. Hold the fold's lock for `mark` and `take`."""

    def __init__(self, generation: str, positions: Mapping[int, int]) -> None:
        self.generation = generation
        self.positions = dict(positions)
        self._places: dict[int, dict[Place, None]] = {}
        self._streams: dict[int, dict[str, None]] = {}
        self._count = 0
        self._overrun = False

    def mark(self, partition: int, stream: str, places: Iterable[Place]) -> None:
        """These resources of the stream changed."""
        if self._count >= MAX_PENDING:
            self._places, self._streams, self._overrun = {}, {}, True
            return
        pending = self._places.setdefault(partition, {})
        before = len(pending)
        pending.update(dict.fromkeys(places))
        self._count += len(pending) - before
        self._streams.setdefault(partition, {})[stream] = None

    def flush(self, fold: LifecycleFold, store: RedisStore, is_current: bool) -> None:
        """Brings every partition to where the fold stands. Raises Detached, RedisUnavailable; begin anew after both."""
        with fold.lock:
            behind = [p for p, offset in fold.accepted.items() if offset > self.positions.get(p, -1)]
        for partition in behind:
            with fold.lock:
                if self._overrun:
                    raise Detached(f"more than {MAX_PENDING} changes are waiting")
                heads, data, position = self._take(fold, partition)
            rows = [layout.row(place.kind, each) for place, each in data]
            base = self.positions.get(partition, -1)
            store.write(self.generation, Batch(heads, rows, partition, base, position), is_current)
            self.positions[partition] = position

    def _take(self, fold: LifecycleFold, partition: int) -> tuple[dict[str, str], list[tuple[Place, bytes]], int]:
        places, streams = self._places.pop(partition, {}), self._streams.pop(partition, {})
        self._count -= len(places)
        return heads_of(fold, streams), data_of(fold, places), fold.accepted[partition]


def heads_of(fold: LifecycleFold, streams: Iterable[str]) -> dict[str, str]:
    """The heads of these streams as rows; hold the fold's lock."""
    return {name: layout.head(fold.streams[name].sequence, fold.streams[name].digest) for name in streams}


def data_of(fold: LifecycleFold, places: Iterable[Place]) -> list[tuple[Place, bytes]]:
    """The canonical bytes of these resources; hold the fold's lock."""
    found = []
    for place in places:
        state = fold.models.get(place.model)
        resource = resource_at(state, place) if isinstance(state, ModelState) else None
        if resource is not None:
            found.append((place, resource.SerializeToString(deterministic=True)))
    return found
