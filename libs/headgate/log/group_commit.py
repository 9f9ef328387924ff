"""Group commit: one of the waiting callers writes the records of all that wait, in one batch.

There is no separate thread that writes. A caller leads a batch at once when no batch is being written. Callers that
arrive meanwhile wait, and the first of them leads the next batch on its own thread. So a record costs at most one
switch of threads, and a record that arrives alone costs none.

Busy callers return with a new record soon after their last one is written. So a leader waits a moment, until as many
entries wait as the last batch had. Otherwise half of the callers would always arrive too late, and batches would be
half as large.
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
    """The item of one caller. The lock of the group commit guards it until it becomes part of a batch."""

    item: Item
    cost: int
    # Set when the entry is finished, and when its caller becomes the leader.
    wake_up: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    # Whether it is part of a batch. From then on its caller cannot withdraw it.
    taken: bool = False
    finished: bool = False
    result: Any = None

    def finish(self, result: object) -> None:
        """Gives the caller its result, or an error to raise. Only the first call has an effect."""
        if not self.finished:
            self.result, self.finished = result, True
            self.wake_up.set()


Take = Callable[[], Sequence[Entry[Item]]]


class GroupCommit(Generic[Item]):
    """Passes each item to exactly one call of `write`, one call at a time. Thread-safe.

    `write(take, deadline)` calls `take` for the entries of its batch when it is ready, and finishes each of them. If
    `write` raises a LogError before it calls `take`, only the leading caller gets that error.

    `max_waiting` and `max_batch` limit the sum of the costs, in a unit that the owner chooses. `gather_seconds` is how
    long a leader waits for as many entries as the last batch had. A caller that is alone never waits.
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
        """Returns the result of the item. The deadline is on the monotonic clock.

        A leader returns when its batch is written, which may be after the deadline. Raises LogUnavailable when the item
        was not written, OutcomeUnknown when its batch was not finished before the deadline.
        """
        entry = Entry(item, cost)
        self._enqueue(entry, deadline)
        try:
            if not entry.leads and not entry.wake_up.wait(max(0.0, deadline - time.monotonic())):
                self._withdraw(entry)
            if entry.leads:
                self._lead(entry, deadline)
        finally:
            self._after(entry)
        if isinstance(entry.result, Exception):
            raise entry.result
        return entry.result

    def close(self, timeout_seconds: float) -> bool:
        """Accepts no more items. Returns whether all that waited were written in time."""
        with self._lock:
            self._closing = True
            self._space.notify_all()
            return self._idle.wait_for(lambda: not self._has_leader, timeout_seconds)

    def _enqueue(self, entry: Entry[Item], deadline: float) -> None:
        """Adds the entry to the queue. Its caller becomes the leader when there is none."""
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
        """Removes an entry at its deadline. Returns when it has been finished or has become the leader."""
        with self._lock:
            if entry.finished or entry.leads:
                return
            if entry.taken:
                raise OutcomeUnknown("the write had not finished at the deadline")
            self._remove(entry)
        raise LogUnavailable("not written before the deadline; nothing was changed")

    def _after(self, entry: Entry[Item]) -> None:
        """Cleans up when a caller goes on or was interrupted. If it was the leader, the next caller becomes it."""
        with self._lock:
            if not entry.taken and entry in self._queue:
                self._remove(entry)
            if entry.leads:
                self._choose_leader()

    def _lead(self, own: Entry[Item], deadline: float) -> None:
        """Writes a batch of this entry and of those that wait behind it."""
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
            for entry in batch or [own]:  # no caller may wait for a leader that was interrupted
                entry.finish(OutcomeUnknown("the thread that wrote was interrupted"))

    def _gather(self) -> None:
        with self._lock:
            self._gathered.wait_for(lambda: len(self._queue) >= self._last_batch_entries, self._gather_seconds)

    def _take(self) -> list[Entry[Item]]:
        """The entries that wait, as many as fit into one batch."""
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

    def _choose_leader(self) -> None:
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
