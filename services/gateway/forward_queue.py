"""Runs the slow forwards of one version beside all other calls: one after the other, in the version's own thread."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

MAX_WAITING = 64
"""Requests that wait for one version, beside the one that runs. Further ones are refused."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""The size of all requests that wait for one version. One request may always wait."""
IDLE_SECONDS = 10.0
"""The thread ends after this time without a request. The next request starts another one."""

Result = TypeVar("Result")


class QueueFull(Exception):
    """As many requests wait for the version as may wait."""


class DeadlinePassed(Exception):
    """The caller's deadline passed while the request waited. The model did not run."""


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
    done: "Future[Result]" = field(default_factory=Future)
    began: bool = False


class ForwardQueue:
    """The requests that wait for one version. They keep the version alive until they have run. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, idle_seconds: float = IDLE_SECONDS) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._waiting: deque[Ticket[Any]] = deque()
        self._waiting_bytes = 0
        self._is_running = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait. The one that runs is not among them."""
        return len(self._waiting)

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
    ) -> Ticket[Result]:
        """Adds a request. `observe` gets the CPU time of a work that succeeded, on the version's thread.

        The work does not begin after `expires_at` on the clock. `interrupt` makes it end soon. Raises QueueFull.
        """
        ticket = Ticket(work, interrupt, observe, expires_at, size_bytes)
        with self._changed:
            if self._is_full(size_bytes):
                raise QueueFull
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="forwards", daemon=True)
                self._thread.start()
            self._waiting.append(ticket)
            self._waiting_bytes += size_bytes
            self._changed.notify()
        return ticket

    def withdraw(self, ticket: Ticket[Result]) -> bool:
        """Gives up a request for which nobody waits any more. Returns whether its forward will never begin.

        Interrupts a forward that has begun, so that the next request need not wait for it.
        """
        with self._changed:
            if ticket in self._waiting:
                self._remove(ticket)
            if ticket.began:
                ticket.interrupt()
            return not ticket.began

    def retire(self) -> None:
        """The version is no longer served: its thread does not wait for requests that hardly come any more."""
        with self._changed:
            self._idle_seconds = 0.0
            self._changed.notify()

    def _is_full(self, size_bytes: int) -> bool:
        too_large = self._waiting_bytes + size_bytes > MAX_WAITING_BYTES
        return bool(self._waiting) and (len(self._waiting) >= MAX_WAITING or too_large)

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Runs the next request. Returns False when none came and the thread ends.

        The request is a local variable here, so that the idle thread does not keep an unloaded version.
        """
        ticket = self._next()
        if ticket is None:
            return False
        _run(ticket)
        self._is_running = False
        return True

    def _next(self) -> Ticket[Any] | None:
        with self._changed:
            if not self._waiting and self._idle_seconds:
                self._changed.wait_for(lambda: self._waiting or not self._idle_seconds, self._idle_seconds)
            if not self._waiting:
                self._thread = None
                return None
            ticket = self._waiting[0]
            self._is_running = True
            self._remove(ticket)
            ticket.began = self._clock() < ticket.expires_at
            return ticket

    def _remove(self, ticket: Ticket[Any]) -> None:
        self._waiting.remove(ticket)
        self._waiting_bytes -= ticket.size_bytes


def _run(ticket: Ticket[Result]) -> None:
    """Does the work, unless it must not begin, and ends its ticket.

    The CPU time of this thread does not grow while others use the processor or Python's lock.
    """
    if not ticket.began:
        ticket.done.set_exception(DeadlinePassed())
        return
    began = time.thread_time()
    try:
        result = ticket.work()
    except Exception as error:  # noqa: BLE001  # whoever waits for the work handles its error
        ticket.done.set_exception(error)
        return
    ticket.observe(time.thread_time() - began)
    ticket.done.set_result(result)
