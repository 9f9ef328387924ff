"""The callers that wait until a record is folded. Each is woken alone, when its own record is folded.

If every record woke all of them, most would only go back to sleep. A busy registry would do little else.
"""

import threading
from collections.abc import Mapping
from typing import NamedTuple


class Waiter(NamedTuple):
    """A caller that waits until the record at this position is folded."""

    partition: int
    offset: int
    over: threading.Event


class Waiters:
    """All waiting callers. Not thread-safe: the lock of the fold guards it."""

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    def add(self, partition: int, offset: int) -> Waiter:
        waiter = Waiter(partition, offset, threading.Event())
        self._waiting.append(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Removes a caller that waits no more."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def wake(self, positions: Mapping[int, int]) -> None:
        """Wakes the callers whose record is before the position of its partition."""
        remaining: list[Waiter] = []
        for waiter in self._waiting:
            if positions.get(waiter.partition, 0) > waiter.offset:
                waiter.over.set()
            else:
                remaining.append(waiter)
        self._waiting = remaining

    def wake_all(self) -> None:
        """Wakes all callers, because the fold ends."""
        for waiter in self._waiting:
            waiter.over.set()
        self._waiting = []
