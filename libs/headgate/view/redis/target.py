"""The changes that one generation of the view still lacks, by partition: for each resource only its last state."""

from collections.abc import Iterable, Mapping

from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.view.redis import layout
from headgate.view.redis.store import Batch, Detached, RedisStore
from headgate.view.touched import ResourceRef, resource_at

MAX_PENDING = 20_000
"""The most changed resources that are kept while Redis does not answer. Beyond it they are read from the log again."""


class Target:
    """A generation, its positions, and the changes since then. Hold the fold's lock for `mark`."""

    def __init__(self, generation: str, positions: Mapping[int, int]) -> None:
        self.generation = generation
        self.positions = dict(positions)
        self._refs: dict[int, dict[ResourceRef, None]] = {}
        self._streams: dict[int, dict[str, None]] = {}
        self._count = 0
        self._overflowed = False

    def mark(self, partition: int, stream: str, refs: Iterable[ResourceRef]) -> None:
        """Records that these resources of the stream changed."""
        if self._count >= MAX_PENDING:
            self._refs, self._streams, self._overflowed = {}, {}, True
            return
        pending = self._refs.setdefault(partition, {})
        before = len(pending)
        pending.update(dict.fromkeys(refs))
        self._count += len(pending) - before
        self._streams.setdefault(partition, {})[stream] = None

    def flush(self, fold: LifecycleFold, store: RedisStore, is_current: bool) -> None:
        """Writes all changes up to the fold's state. After Detached or RedisUnavailable, attach again."""
        with fold.lock:
            behind = [p for p, offset in fold.accepted.items() if offset > self.positions.get(p, -1)]
        for partition in behind:
            with fold.lock:
                if self._overflowed:
                    raise Detached(f"more than {MAX_PENDING} changes are waiting")
                heads, data, position = self._take(fold, partition)
            rows = [layout.row(ref.kind, each) for ref, each in data]
            base = self.positions.get(partition, -1)
            store.write(self.generation, Batch(heads, rows, partition, base, position), is_current)
            self.positions[partition] = position

    def _take(self, fold: LifecycleFold, partition: int) -> tuple[dict[str, str], list[tuple[ResourceRef, bytes]], int]:
        refs, streams = self._refs.pop(partition, {}), self._streams.pop(partition, {})
        self._count -= len(refs)
        return heads_of(fold, streams), data_of(fold, refs), fold.accepted[partition]


def heads_of(fold: LifecycleFold, streams: Iterable[str]) -> dict[str, str]:
    """The heads of these streams as rows. Hold the fold's lock."""
    return {name: layout.head(fold.streams[name].sequence, fold.streams[name].digest) for name in streams}


def data_of(fold: LifecycleFold, refs: Iterable[ResourceRef]) -> list[tuple[ResourceRef, bytes]]:
    """The canonical bytes of these resources. Hold the fold's lock."""
    found = []
    for ref in refs:
        state = fold.models.get(ref.model)
        resource = resource_at(state, ref) if isinstance(state, ModelState) else None
        if resource is not None:
            found.append((ref, resource.SerializeToString(deterministic=True)))
    return found
