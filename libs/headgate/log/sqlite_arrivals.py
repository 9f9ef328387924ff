"""Wakes those who wait for records: at once for this process's commits, within milliseconds for other processes'."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from headgate.log.port import LogError, LogUnavailable

LOOK_SECONDS = 0.003
"""How often another process's commits are looked for while somebody waits; one look costs two microseconds."""


class Arrivals:
    """Counts commits. A thread looks for other processes' commits, but only while somebody waits."""

    def __init__(self, borrow: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self.count = 0
        self._borrow = borrow
        self._waiting = 0
        self._closed = threading.Event()
        lock = threading.Lock()
        self._committed = threading.Condition(lock)
        self._wanted = threading.Condition(lock)
        self._failure: LogError | None = None
        self._thread = threading.Thread(target=self._watch, name="headgate-log-arrivals", daemon=True)
        self._thread.start()

    def announce(self) -> None:
        """Something was committed."""
        with self._committed:
            self.count += 1
            if self._waiting:
                self._committed.notify_all()

    def wait(self, seen: int, timeout_seconds: float) -> None:
        """Returns when more than `seen` commits are known or the time is over. Raises LogUnavailable when closed."""
        deadline = time.monotonic() + timeout_seconds
        with self._committed:
            self._waiting += 1
            self._wanted.notify()
            try:
                while self.count == seen and not self._closed.is_set() and self._failure is None:
                    if not self._committed.wait(deadline - time.monotonic()):
                        return
            finally:
                self._waiting -= 1
            if self._closed.is_set():
                raise LogUnavailable("the log is closed")
            if self._failure:
                raise LogUnavailable(f"other processes' records cannot be seen: {self._failure}")

    def close(self) -> None:
        with self._committed:
            self._closed.set()
            self._committed.notify_all()
            self._wanted.notify()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                with self._borrow() as connection:
                    self._look(connection)
            except LogError as error:
                self._report(error)
                self._closed.wait(1.0)

    def _look(self, connection: sqlite3.Connection) -> None:
        known = -1
        while not self._closed.is_set():
            with self._wanted:
                while not self._waiting and not self._closed.is_set():
                    self._wanted.wait()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != known:
                known = version
                self._failure = None
                self.announce()
            self._closed.wait(LOOK_SECONDS)

    def _report(self, error: LogError) -> None:
        with self._committed:
            self._failure = error
            self._committed.notify_all()
