"""Folding a log from its first record, and finding out whether its beginning is still there."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from headgate.lifecycle.fold import Fold
from headgate.log import topics
from headgate.log.port import EventLog, RecordsLost


def fold_all(log: EventLog) -> Fold:
    """A fresh fold of the whole log as it stands now. Raises RecordsLost when its beginning is gone."""
    fold = Fold()
    require_whole(log, {})
    with cycles_kept():
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
    """Raises RecordsLost when facts behind the reached offsets were deleted: every later fact would be void."""
    for partition, first in log.offsets_at(topics.LIFECYCLE, 0).items():
        if first > reached.get(partition, 0):
            needed = reached.get(partition, 0)
            raise RecordsLost(f"{topics.LIFECYCLE}/{partition} begins at {first}: the facts from {needed} were deleted")


@contextmanager
def cycles_kept() -> Iterator[None]:
    """Holds the cycle collector back: a replay makes millions of objects that stay, and it would visit them all."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
