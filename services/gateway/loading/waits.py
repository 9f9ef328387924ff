"""The requests that wait until a version is loaded: few at once, and none of them for long."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from services.gateway.loading.eviction import VersionKey
from services.gateway.sessions import LoadedVersion

WAIT_SECONDS = 10.0
"""The longest wait of one request. The load goes on after it, so a later request finds the version."""
RETRY_SECONDS = 1.0
"""When a caller that has waited in vain may try again."""
MAX_WAITING = 1_024
"""Requests that wait for loads at once. Further ones are refused."""
IDLE_SECONDS = 10.0
"""The thread that ends waits ends itself after this time without one."""


class NotLoaded(Exception):
    """The version was not loaded in time, or cannot be loaded. The message says why."""


class TooManyWait(Exception):
    """As many requests wait for loads as may wait."""


@dataclass(slots=True, eq=False)
class LoadWait:
    """One wait. `done` gets the loaded version or NotLoaded, on a thread whose callbacks must be short."""

    key: VersionKey
    expires_at: float
    done: "Future[LoadedVersion]" = field(default_factory=Future)


class LoadWaits:
    """Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: list[LoadWait] = []
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """How many requests wait."""
        return len(self._waits)

    def add(self, key: VersionKey, expires_at: float) -> LoadWait:
        """A wait that ends at `expires_at` on the monotonic clock at the latest. Raises TooManyWait."""
        wait = LoadWait(key, min(expires_at, time.monotonic() + WAIT_SECONDS))
        wait.done.set_running_or_notify_cancel()  # so that no waiter cancels it
        with self._changed:
            if len(self._waits) >= MAX_WAITING:
                raise TooManyWait
            self._waits.append(wait)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="load-waits", daemon=True)
                self._thread.start()
            self._changed.notify()
        return wait

    def withdraw(self, wait: LoadWait) -> None:
        """Gives up a wait. Its `done` gets nothing any more."""
        with self._changed:
            if wait in self._waits:
                self._waits.remove(wait)

    def loaded(self, key: VersionKey, version: LoadedVersion) -> None:
        """Ends the waits for this version."""
        for wait in self._take(key):
            wait.done.set_result(version)

    def fail(self, key: VersionKey, reason: str) -> None:
        """Ends the waits for this version, which cannot be loaded."""
        for wait in self._take(key):
            wait.done.set_exception(NotLoaded(reason))

    def _take(self, key: VersionKey) -> list[LoadWait]:
        with self._changed:
            taken = [wait for wait in self._waits if wait.key == key]
            self._waits = [wait for wait in self._waits if wait.key != key]
            return taken

    def _run(self) -> None:
        while (overdue := self._overdue()) is not None:
            for wait in overdue:
                wait.done.set_exception(NotLoaded("is still loading"))

    def _overdue(self) -> list[LoadWait] | None:
        """Waits for the next waits whose time is over. Returns None when none came and the thread ends."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waits, IDLE_SECONDS):
                self._thread = None
                return None
            now = time.monotonic()
            overdue = [wait for wait in self._waits if wait.expires_at <= now]
            if overdue:
                self._waits = [wait for wait in self._waits if wait.expires_at > now]
            else:
                self._changed.wait(min(wait.expires_at for wait in self._waits) - now)
            return overdue
