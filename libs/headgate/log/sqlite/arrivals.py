"""Wakes those who wait for records: at once for this process's commits, within milliseconds for other processes'.

A commit of this process wakes only the readers of the topics it wrote to, and the watcher does not tell them again:
a busy registry commits some hundred times a second, and each thread that is woken costs more than the commit's rows.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from headgate.log.port import LogError, LogUnavailable

FOLLOWERS = -1
"""In place of a topic: those who are called at commits of this process, and so wait for other processes' alone."""
LOOK_SECONDS = 0.003
"""How often another process's commits are looked for while somebody waits; one look costs two microseconds."""
DOUBTED_LOOKS = 4
"""After so many looks without a commit of ours, what came beside our last one may have been another process's, too."""


@dataclass(slots=True)
class _Readers:
    """Those who wait for records of one topic, and those who are called when there are some."""

    committed: threading.Condition
    count: int = 0
    waiting: int = 0
    called: list[Callable[[], None]] = field(default_factory=list)


class Arrivals:
    """Counts commits by topic. A thread looks for other processes' commits, but only while somebody waits."""

    def __init__(self, borrow: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._borrow = borrow
        self._waiting = 0
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._readers: dict[int, _Readers] = {}
        self._own = 0
        self._wanted = threading.Condition(self._lock)
        self._failure: LogError | None = None
        self._thread = threading.Thread(target=self._watch, name="headgate-log-arrivals", daemon=True)
        self._thread.start()

    def committed(self, topic_ids: Collection[int] | None) -> None:
        """This process committed records of these topics; None when any reader may find something new."""
        with self._lock:
            self._own += 1
            if topic_ids is None:
                return self._tell_all()
            told = [self._of(topic_id) for topic_id in topic_ids]
            for readers in told:
                self._tell(readers)
            calls = [call for readers in told for call in readers.called]
        for call in calls:
            call()

    def call(self, topic_id: int, reader: Callable[[], None]) -> None:
        """Calls the reader after each commit of this process to the topic, on the thread that committed."""
        with self._lock:
            self._of(topic_id).called.append(reader)

    def call_no_more(self, topic_id: int, reader: Callable[[], None]) -> None:
        with self._lock:
            self._of(topic_id).called.remove(reader)

    def seen(self, topic_id: int) -> int:
        """How many commits a reader of this topic has been told of; ask before reading."""
        with self._lock:
            return self._of(topic_id).count

    def wait(self, topic_id: int, seen: int, timeout_seconds: float) -> None:
        """Returns when more than `seen` commits are known or the time is over. Raises LogUnavailable when closed."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            readers = self._of(topic_id)
            readers.waiting += 1
            self._waiting += 1
            if self._waiting == 1:
                self._wanted.notify()
            try:
                while readers.count == seen and not self._closed.is_set() and self._failure is None:
                    if not readers.committed.wait(deadline - time.monotonic()):
                        return
            finally:
                readers.waiting -= 1
                self._waiting -= 1
            if self._closed.is_set():
                raise LogUnavailable("the log is closed")
            if self._failure:
                raise LogUnavailable(f"other processes' records cannot be seen: {self._failure}")

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            self._tell_all()
            self._wanted.notify()
        self._thread.join()

    def _of(self, topic_id: int) -> _Readers:
        readers = self._readers.get(topic_id)
        if readers is None:
            readers = self._readers[topic_id] = _Readers(threading.Condition(self._lock))
        return readers

    def _tell(self, readers: _Readers) -> None:
        readers.count += 1
        if readers.waiting:
            readers.committed.notify_all()

    def _tell_all(self) -> None:
        for readers in self._readers.values():
            self._tell(readers)

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                with self._borrow() as connection:
                    self._look(connection)
            except LogError as error:
                self._report(error)
                self._closed.wait(1.0)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Every commit changes the version. One beside a commit of ours is ours, but another may hide behind it.

        The writer finds that one when it writes next; if it does not, it is told here a few looks later.
        """
        known, own, doubted = -1, self._own, 0
        while not self._closed.is_set():
            with self._wanted:
                while not self._waiting and not self._closed.is_set():
                    self._wanted.wait()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            with self._lock:
                self._failure = None
                if own != self._own:
                    own, doubted = self._own, DOUBTED_LOOKS
                elif version != known:
                    doubted = 0
                    self._tell_all()
                elif doubted:
                    doubted -= 1
                    if not doubted:
                        self._tell_all()
            known = version
            self._closed.wait(LOOK_SECONDS)

    def _report(self, error: LogError) -> None:
        with self._lock:
            self._failure = error
            self._tell_all()
