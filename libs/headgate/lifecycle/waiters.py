"""Those who wait for a position of the log to be folded; each is woken alone.

Were all woken at every record, most would only go back to sleep, and a busy registry would do little else.
"""

import threading
from collections.abc import Mapping
from typing import NamedTuple


class Waiter(NamedTuple):
    """One who waits until the record at this position has been folded."""

    partition: int
    offset: int
    over: threading.Event


class Waiters:
    """Not thread-safe: the fold's lock guards it."""

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    def add(self, partition: int, offset: int) -> Waiter:
        waiter = Waiter(partition, offset, threading.Event())
        self._waiting.append(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Forgets one who gave up."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def wake(self, positions: Mapping[int, int]) -> None:
        """Wakes those whose record stands before the position of its partition."""
        still: list[Waiter] = []
        for waiter in self._waiting:
            if positions.get(waiter.partition, 0) > waiter.offset:
                waiter.over.set()
            else:
                still.append(waiter)
        self._waiting = still

    def wake_all(self) -> None:
        """Wakes them in vain: the fold ends."""
        for waiter in self._waiting:
            waiter.over.set()
        self._waiting = []
