"""Writing in rounds: what waits together is written together, by one of those who wait.

There is no writing thread. Whoever finds nobody writing leads a round at once; what comes meanwhile is written by the
first of those who wait, on its own thread. So a record costs at most one change of threads, and a lone one costs none.

Busy callers come back about as soon as they are answered. So a leader waits a moment until as many wait as took part
in the last round: else half of them would always come a little too late, and rounds would be half as large.
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
class Work(Generic[Item]):
    """One caller's part of a round. Guarded by the lock of the rounds until it is taken."""

    item: Item
    cost: int
    # Set when it is over, or when its caller is to lead.
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    # Part of a round: from here on its caller cannot take it back.
    taken: bool = False
    over: bool = False
    result: Any = None

    def end(self, result: object) -> None:
        """With its result, or with the error that its caller gets. Only the first end counts."""
        if not self.over:
            self.result, self.over = result, True
            self.turn.set()


Take = Callable[[], Sequence[Work[Item]]]


class Rounds(Generic[Item]):
    """Has each item carried out by exactly one call of `do` at a time. Thread-safe.

    `do(take, deadline)` takes the works of its round when it is ready for them, and ends each. A LogError that it
    raises before it takes any is the leading caller's alone. Costs are in units of the owner's choice.
    `company_seconds` is how long a leader waits for the company of the last round; who was alone waits for nobody.
    """

    def __init__(
        self, do: Callable[[Take[Item], float], None], most_waiting: int, most_at_once: int, company_seconds: float
    ) -> None:
        self._do = do
        self._company_seconds = company_seconds
        self._company = 1
        self._most_waiting = most_waiting
        self._most_at_once = most_at_once
        self._queue: deque[Work[Item]] = deque()
        self._waiting = 0
        self._leading = False
        self._closing = False
        self._lock = threading.Lock()
        self._space = threading.Condition(self._lock)
        self._quiet = threading.Condition(self._lock)
        self._gathered = threading.Condition(self._lock)

    def carry_out(self, item: Item, cost: int, deadline: float) -> Any:
        """The item's result. A leader may return later than the deadline, on the monotonic clock: with its round.

        Raises LogUnavailable when nothing was done in time, OutcomeUnknown when its round was not over in time.
        """
        work = Work(item, cost)
        self._enqueue(work, deadline)
        try:
            if not work.leads and not work.turn.wait(max(0.0, deadline - time.monotonic())):
                self._give_up(work)
            if work.leads:
                self._lead(work, deadline)
        finally:
            self._leave(work)
        if isinstance(work.result, Exception):
            raise work.result
        return work.result

    def close(self, timeout_seconds: float) -> bool:
        """Takes nothing more; whether all that waited was carried out in time."""
        with self._lock:
            self._closing = True
            self._space.notify_all()
            return self._quiet.wait_for(lambda: not self._leading, timeout_seconds)

    def _enqueue(self, work: Work[Item], deadline: float) -> None:
        """Makes its caller the leader when there is none."""
        with self._lock:
            while self._queue and self._waiting + work.cost > self._most_waiting and not self._closing:
                if not self._space.wait(max(0.0, deadline - time.monotonic())):
                    raise LogUnavailable("too many records wait to be written; nothing was changed")
            if self._closing:
                raise LogUnavailable("the log is closed")
            self._queue.append(work)
            self._waiting += work.cost
            if not self._leading:
                self._leading = work.leads = True
            elif len(self._queue) >= self._company:
                self._gathered.notify()

    def _give_up(self, work: Work[Item]) -> None:
        """Returns when the work is over or its caller's turn to lead has come after all."""
        with self._lock:
            if work.over or work.leads:
                return
            if work.taken:
                raise OutcomeUnknown("the write was still running when the time was over")
            self._remove(work)
        raise LogUnavailable("not written in time; nothing was changed")

    def _leave(self, work: Work[Item]) -> None:
        """Its caller goes on, or was interrupted: nothing of it waits any more, and another leads if it did."""
        with self._lock:
            if not work.taken and work in self._queue:
                self._remove(work)
            if work.leads:
                self._next_leads()

    def _lead(self, work: Work[Item], deadline: float) -> None:
        """A round of this work and what waits behind it."""
        works: list[Work[Item]] = []

        def take() -> Sequence[Work[Item]]:
            works.extend(self._take())
            return works

        try:
            self._gather()
            self._do(take, deadline)
        except LogError as error:
            if works:
                raise
            work.end(error)
        finally:
            for left in works or [work]:  # nobody waits for a leader who was interrupted
                left.end(OutcomeUnknown("the thread that wrote was interrupted"))

    def _gather(self) -> None:
        with self._lock:
            self._gathered.wait_for(lambda: len(self._queue) >= self._company, self._company_seconds)

    def _take(self) -> list[Work[Item]]:
        """What waits, up to what fits at once."""
        works: list[Work[Item]] = []
        cost = 0
        with self._lock:
            self._company = len(self._queue)
            while self._queue and (not works or cost + self._queue[0].cost <= self._most_at_once):
                work = self._queue.popleft()
                work.taken = True
                works.append(work)
                cost += work.cost
            self._waiting -= cost
            self._space.notify_all()
        return works

    def _next_leads(self) -> None:
        self._leading = bool(self._queue)
        if self._leading:
            self._queue[0].leads = True
            self._queue[0].turn.set()
        else:
            self._quiet.notify_all()

    def _remove(self, work: Work[Item]) -> None:
        self._queue.remove(work)
        self._waiting -= work.cost
        self._space.notify_all()
