"""Folds a log from its first record, and checks that no fact was deleted."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from headgate.lifecycle.fold import Fold
from headgate.log import topics
from headgate.log.port import EventLog, RecordsLost


def fold_all(log: EventLog) -> Fold:
    """A new fold of all records that the log has now. Raises RecordsLost when its first facts were deleted."""
    fold = Fold()
    require_whole(log, {})
    with without_cycle_collection():
        for partition, end in log.end(topics.LIFECYCLE).items():
            offset = 0
            while offset < end:
                values = log.values(topics.LIFECYCLE, partition, offset)
                if not values:
                    break
                for offset, value in values:
                    fold.fold(partition, offset, value or b"")
                offset += 1
    return fold


def require_whole(log: EventLog, reached: Mapping[int, int]) -> None:
    """Raises RecordsLost when a fact at or after the reached offsets was deleted. All later facts would be void."""
    for partition, first in log.offsets_at(topics.LIFECYCLE, 0).items():
        if first > reached.get(partition, 0):
            needed = reached.get(partition, 0)
            raise RecordsLost(f"{topics.LIFECYCLE}/{partition} begins at {first}: the facts from {needed} were deleted")


@contextmanager
def without_cycle_collection() -> Iterator[None]:
    """Switches the cycle collector off. A replay makes millions of lasting objects, and it would visit all of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
