"""Group commit: records that wait together are written together, by one of the callers that wait.

There is no writing thread. A caller that finds nobody writing leads a batch at once. What arrives meanwhile waits, and
the first of those who wait leads the next batch on its own thread. So a record costs at most one change of threads, and
a lone record costs none.

Busy callers come back about as soon as they are answered. So a leader waits a moment until as many entries wait as the
last batch had. Otherwise half of the callers would always come a little too late, and batches would be half as large.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from headgate.log.port import LogError, LogUnavailable, OutcomeUnknown

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Entry(Generic[Item]):
    """One caller's part of a batch. The lock of the group commit guards it until a batch takes it."""

    item: Item
    cost: int
    # Set when the entry is finished, and when its caller is to lead.
    wake_up: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    # Part of a batch: from here on its caller cannot withdraw it.
    taken: bool = False
    finished: bool = False
    result: Any = None

    def finish(self, result: object) -> None:
        """Gives the caller its result, or the error that it raises. Only the first call counts."""
        if not self.finished:
            self.result, self.finished = result, True
            self.wake_up.set()


Take = Callable[[], Sequence[Entry[Item]]]


class GroupCommit(Generic[Item]):
    """Passes each item to exactly one call of `write`, one call at a time. Thread-safe.

    `write(take, deadline)` takes the entries of its batch when it is ready for them, and finishes each. A LogError that
    it raises before it takes any is the leading caller's alone. Costs are in units of the owner's choice.
    `gather_seconds` is how long a leader waits for as many entries as the last batch had; a lone caller never waits.
    """

    def __init__(
        self, write: Callable[[Take[Item], float], None], max_waiting: int, max_batch: int, gather_seconds: float
    ) -> None:
        self._write = write
        self._gather_seconds = gather_seconds
        self._last_batch_entries = 1
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._queue: deque[Entry[Item]] = deque()
        self._waiting = 0
        self._has_leader = False
        self._closing = False
        self._lock = threading.Lock()
        self._space = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._gathered = threading.Condition(self._lock)

    def submit(self, item: Item, cost: int, deadline: float) -> Any:
        """The item's result. A leader may return later than the deadline, on the monotonic clock: with its batch.

        Raises LogUnavailable when nothing was done in time, OutcomeUnknown when its batch was not finished in time.
        """
        entry = Entry(item, cost)
        self._enqueue(entry, deadline)
        try:
            if not entry.leads and not entry.wake_up.wait(max(0.0, deadline - time.monotonic())):
                self._withdraw(entry)
            if entry.leads:
                self._lead(entry, deadline)
        finally:
            self._leave(entry)
        if isinstance(entry.result, Exception):
            raise entry.result
        return entry.result

    def close(self, timeout_seconds: float) -> bool:
        """Accepts nothing more; whether all that waited was written in time."""
        with self._lock:
            self._closing = True
            self._space.notify_all()
            return self._idle.wait_for(lambda: not self._has_leader, timeout_seconds)

    def _enqueue(self, entry: Entry[Item], deadline: float) -> None:
        """Makes its caller the leader when there is none."""
        with self._lock:
            while self._queue and self._waiting + entry.cost > self._max_waiting and not self._closing:
                if not self._space.wait(max(0.0, deadline - time.monotonic())):
                    raise LogUnavailable("too many records wait to be written; nothing was changed")
            if self._closing:
                raise LogUnavailable("the log is closed")
            self._queue.append(entry)
            self._waiting += entry.cost
            if not self._has_leader:
                self._has_leader = entry.leads = True
            elif len(self._queue) >= self._last_batch_entries:
                self._gathered.notify()

    def _withdraw(self, entry: Entry[Item]) -> None:
        """Returns when the entry is finished, or when its caller is to lead after all."""
        with self._lock:
            if entry.finished or entry.leads:
                return
            if entry.taken:
                raise OutcomeUnknown("the write was still running when the time was over")
            self._remove(entry)
        raise LogUnavailable("not written in time; nothing was changed")

    def _leave(self, entry: Entry[Item]) -> None:
        """The caller goes on, or was interrupted: its entry waits no more, and another caller leads if it did."""
        with self._lock:
            if not entry.taken and entry in self._queue:
                self._remove(entry)
            if entry.leads:
                self._next_leads()

    def _lead(self, own: Entry[Item], deadline: float) -> None:
        """Writes a batch of this entry and of what waits behind it."""
        batch: list[Entry[Item]] = []

        def take() -> Sequence[Entry[Item]]:
            batch.extend(self._take())
            return batch

        try:
            self._gather()
            self._write(take, deadline)
        except LogError as error:
            if batch:
                raise
            own.finish(error)
        finally:
            for entry in batch or [own]:  # nobody waits for a leader that was interrupted
                entry.finish(OutcomeUnknown("the thread that wrote was interrupted"))

    def _gather(self) -> None:
        with self._lock:
            self._gathered.wait_for(lambda: len(self._queue) >= self._last_batch_entries, self._gather_seconds)

    def _take(self) -> list[Entry[Item]]:
        """What waits, up to what fits into one batch."""
        batch: list[Entry[Item]] = []
        cost = 0
        with self._lock:
            self._last_batch_entries = len(self._queue)
            while self._queue and (not batch or cost + self._queue[0].cost <= self._max_batch):
                entry = self._queue.popleft()
                entry.taken = True
                batch.append(entry)
                cost += entry.cost
            self._waiting -= cost
            self._space.notify_all()
        return batch

    def _next_leads(self) -> None:
        self._has_leader = bool(self._queue)
        if self._has_leader:
            self._queue[0].leads = True
            self._queue[0].wake_up.set()
        else:
            self._idle.notify_all()

    def _remove(self, entry: Entry[Item]) -> None:
        self._queue.remove(entry)
        self._waiting -= entry.cost
        self._space.notify_all()
