"""Runs the slow forwards of one version beside all other calls: one after the other, in the version's own thread.

Requests that may run together do so when they wait at the same time. Nobody waits for a batch to fill.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from services.gateway.promise import Promise

MAX_WAITING = 64
"""Requests that may always wait for one version, beside the one that runs."""
MAX_WAITING_SECONDS = 1.0
"""Further ones may wait while all that wait take less alone, one after the other. What was never measured counts as
slow: MAX_WAITING of them take as long."""
MOST_WAITING = 1_024
"""No more wait at all."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""The size of all requests that wait for one version. One request may always wait."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""The size of all requests of one batch. A larger one runs alone."""
MAX_BATCH_SECONDS = 0.1
"""What the requests of a batch take alone, one after the other: so long at most the first waits for those beside it."""
IDLE_SECONDS = 10.0
"""The thread ends after this time without a request. The next request starts another one."""

Result = TypeVar("Result")


class QueueFull(Exception):
    """As many requests wait for the version as may wait."""


class DeadlinePassed(Exception):
    """The caller's deadline passed while the request waited. The model did not run."""


class Batch(Protocol):
    """Several requests as one forward."""

    def run(self) -> Sequence[Any]:
        """The result or the error of each request. Raises what no single request is to blame for."""
        ...

    def interrupt(self) -> None:
        """Makes it end soon."""
        ...


class Part(Protocol):
    """A request that may run together with others of its group."""

    @property
    def group(self) -> Hashable: ...

    @property
    def rows(self) -> int: ...

    def most_rows(self) -> int:
        """How many rows of its group may run together now."""
        ...

    def ran_alone(self, seconds: float) -> None:
        """Takes in the CPU time of its forward."""
        ...

    def batch(self, parts: Any) -> Batch:
        """These parts of one group as one forward."""
        ...


class Shared:
    """A batch that runs. It is interrupted once nobody waits for any part of it. Used under the queue's lock."""

    def __init__(self, batch: Batch, parts: int) -> None:
        self.batch = batch
        self._left = parts

    def leave(self) -> None:
        """One of its callers waits no longer."""
        self._left -= 1
        if not self._left:
            self.batch.interrupt()


@dataclass(slots=True, eq=False)
class Ticket(Generic[Result]):
    """One request in the queue. `done` gets the result or the error of its forward, or DeadlinePassed.

    It gets them on the version's thread, and nothing at all when the request is withdrawn before its forward begins.
    `began` is set once the forward begins.
    """

    work: Callable[[], Result]
    interrupt: Callable[[], None]
    observe: Callable[[float], None]
    expires_at: float
    size_bytes: int
    seconds: float = 0.0
    part: Part | None = None
    done: Promise[Result] = field(default_factory=Promise)
    began: bool = False
    withdrawn: bool = False
    shared: Shared | None = None


class ForwardQueue:
    """The requests that wait for one version. They keep the version alive until they have run. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, idle_seconds: float = IDLE_SECONDS) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._waiting: deque[Ticket[Any]] = deque()
        self._waiting_bytes = 0
        self._waiting_seconds = 0.0
        self._is_running = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait. The one that runs is not among them."""
        return len(self._waiting)

    @property
    def waiting_seconds(self) -> float:
        """What all that wait take alone, one after the other."""
        return self._waiting_seconds

    @property
    def is_busy(self) -> bool:
        """Whether a request runs or waits."""
        return self._is_running or bool(self._waiting)

    def put(
        self,
        work: Callable[[], Result],
        interrupt: Callable[[], None],
        observe: Callable[[float], None],
        expires_at: float = math.inf,
        size_bytes: int = 0,
        seconds: float = 0.0,
        part: Part | None = None,
    ) -> Ticket[Result]:
        """Adds a request. `observe` gets the CPU time of a work that succeeded alone, on the version's thread.

        The work does not begin after `expires_at` on the clock. `interrupt` makes it end soon. It takes about so many
        seconds, 0 when that is not known. With a `part` it may run together with others. Raises QueueFull.
        """
        seconds = seconds or MAX_WAITING_SECONDS / MAX_WAITING
        ticket = Ticket(work, interrupt, observe, expires_at, size_bytes, seconds, part)
        with self._changed:
            if self._is_full(size_bytes, seconds):
                raise QueueFull
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="forwards", daemon=True)
                self._thread.start()
            self._waiting.append(ticket)
            self._waiting_bytes += size_bytes
            self._waiting_seconds += seconds
            self._changed.notify()
        return ticket

    def withdraw(self, ticket: Ticket[Result]) -> bool:
        """Gives up a request for which nobody waits any more. Returns whether its forward will never begin.

        Interrupts a forward that has begun, so that the next request need not wait for it. One that runs for other
        callers too goes on.
        """
        with self._changed:
            if ticket in self._waiting:
                self._remove(ticket)
            if ticket.began and not ticket.withdrawn:
                ticket.withdrawn = True
                (ticket.shared.leave if ticket.shared else ticket.interrupt)()
            return not ticket.began

    def retire(self) -> None:
        """The version is no longer served: its thread does not wait for requests that hardly come any more."""
        with self._changed:
            self._idle_seconds = 0.0
            self._changed.notify()

    def _is_full(self, size_bytes: int, seconds: float) -> bool:
        waiting = len(self._waiting)
        too_large = self._waiting_bytes + size_bytes > MAX_WAITING_BYTES
        too_long = waiting >= MAX_WAITING and self._waiting_seconds + seconds > MAX_WAITING_SECONDS
        return waiting > 0 and (too_large or too_long or waiting >= MOST_WAITING)

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Runs the next request, with those that join it. Returns False when none came and the thread ends.

        The requests are local variables here, so that the idle thread does not keep an unloaded version.
        """
        tickets = self._next()
        if not tickets:
            return False
        if tickets[0].shared is None or not self._run_together(tickets, tickets[0].shared):
            for ticket in tickets:
                _run(ticket)
        self._is_running = False
        return True

    def _run_together(self, tickets: Sequence[Ticket[Any]], shared: Shared) -> bool:
        """Whether it could. Otherwise nothing has ended, and each request has to run alone."""
        try:
            results = shared.batch.run()
        except Exception:  # noqa: BLE001  # whose fault it is shows when each runs alone
            with self._changed:
                for ticket in tickets:
                    ticket.shared = None
            return False
        for ticket, result in zip(tickets, results, strict=True):
            _end(ticket, result)
        return True

    def _next(self) -> Sequence[Ticket[Any]]:
        with self._changed:
            if not self._waiting and self._idle_seconds:
                self._changed.wait_for(lambda: self._waiting or not self._idle_seconds, self._idle_seconds)
            if not self._waiting:
                self._thread = None
                return ()
            now, ticket = self._clock(), self._waiting[0]
            self._is_running = True
            self._remove(ticket)
            ticket.began = now < ticket.expires_at
            if not ticket.began or ticket.part is None:
                return (ticket,)
            return self._joined(ticket, ticket.part, now)

    def _joined(self, first: Ticket[Any], part: Part, now: float) -> Sequence[Ticket[Any]]:
        """The request with those that wait and may run together with it, in their order."""
        joined = [first]
        rows, size_bytes, seconds = part.rows, first.size_bytes, first.seconds
        most_rows = part.most_rows() if self._waiting else 0
        for ticket in tuple(self._waiting):
            other = ticket.part
            if other is None or other.group != part.group or ticket.expires_at <= now:
                continue
            rows, size_bytes, seconds = rows + other.rows, size_bytes + ticket.size_bytes, seconds + ticket.seconds
            if rows > most_rows or size_bytes > MAX_BATCH_BYTES or seconds > MAX_BATCH_SECONDS:
                break
            joined.append(ticket)
            self._remove(ticket)
        if len(joined) > 1:
            shared = Shared(part.batch([ticket.part for ticket in joined]), len(joined))
            for ticket in joined:
                ticket.began, ticket.shared = True, shared
        return joined

    def _remove(self, ticket: Ticket[Any]) -> None:
        self._waiting.remove(ticket)
        self._waiting_bytes -= ticket.size_bytes
        self._waiting_seconds = max(0.0, self._waiting_seconds - ticket.seconds) if self._waiting else 0.0


def _run(ticket: Ticket[Result]) -> None:
    """Does the work, unless it must not begin, and ends its ticket.

    The CPU time of this thread does not grow while others use the processor or Python's lock.
    """
    if not ticket.began or ticket.withdrawn:
        ticket.done.set_exception(DeadlinePassed())
        return
    began = time.thread_time()
    try:
        result = ticket.work()
    except Exception as error:  # noqa: BLE001  # whoever waits for the work handles its error
        ticket.done.set_exception(error)
        return
    seconds = time.thread_time() - began
    ticket.observe(seconds)
    if ticket.part is not None:
        ticket.part.ran_alone(seconds)
    ticket.done.set_result(result)


def _end(ticket: Ticket[Any], result: Any) -> None:
    """Ends the ticket of a request that ran together with others."""
    if isinstance(result, Exception):
        ticket.done.set_exception(result)
    else:
        ticket.done.set_result(result)
