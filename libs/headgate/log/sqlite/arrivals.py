"""Wakes the threads that wait for records: at once after commits of this process, in milliseconds after others.

A commit of this process wakes only the readers of the topics it wrote to, and it wakes them once. A busy registry
commits some hundred times a second, and waking a thread costs more than writing the rows. It checks for commits of
other processes when one of them gives a notice, and now and then without a notice.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from headgate.log.port import LogError, LogUnavailable
from headgate.log.sqlite.notices import Notices

FOLLOWERS = -1
"""Used as the topic id of followers. Commits of this process call them, so they wait only for other processes."""
LOOK_SECONDS = 0.003
"""The shortest time between two checks. Commits that follow each other closely are found together."""
IDLE_SECONDS = 0.5
"""The longest time between two checks while a reader waits. A process may die after its commit, before its notice."""
UNCERTAIN_SECONDS = 0.012
"""Time without an own commit after which all readers are woken, because an own commit can hide another process's."""


@dataclass(slots=True)
class _Readers:
    """The threads that wait for records of one topic, and the callbacks of its followers."""

    committed: threading.Condition
    count: int = 0
    waiting: int = 0
    callbacks: list[Callable[[], None]] = field(default_factory=list)


class Arrivals:
    """Counts commits by topic. A thread checks for commits of other processes, but only while a reader waits."""

    def __init__(self, borrow: Callable[[], AbstractContextManager[sqlite3.Connection]], notices: Notices) -> None:
        self._borrow = borrow
        self._notices = notices
        self._waiting = 0
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._readers: dict[int, _Readers] = {}
        self._own_commits = 0
        self._wanted = threading.Condition(self._lock)
        self._failure: LogError | None = None
        self._thread = threading.Thread(target=self._watch, name="headgate-log-arrivals", daemon=True)
        self._thread.start()

    def committed(self, topic_ids: Collection[int] | None) -> None:
        """Call this after a commit of this process to these topics. None means that any topic may have new records."""
        with self._lock:
            self._own_commits += 1
            affected = [self._of(topic_id) for topic_id in topic_ids or ()]
            for readers in affected if topic_ids is not None else self._readers.values():
                self._wake(readers)
            callbacks = [callback for readers in affected for callback in readers.callbacks]
        if topic_ids is None or topic_ids:
            self._notices.give()
        for callback in callbacks:
            callback()

    def call(self, topic_id: int, callback: Callable[[], None]) -> None:
        """From now on calls back after each commit of this process to the topic, on the thread that committed."""
        with self._lock:
            self._of(topic_id).callbacks.append(callback)

    def stop_calling(self, topic_id: int, callback: Callable[[], None]) -> None:
        with self._lock:
            self._of(topic_id).callbacks.remove(callback)

    def wake(self, topic_id: int) -> None:
        """Ends all waits for this topic, as a commit would."""
        with self._lock:
            self._wake(self._of(topic_id))

    def seen(self, topic_id: int) -> int:
        """How many commits to this topic are known. Call it before reading, and pass the result to `wait`."""
        with self._lock:
            return self._of(topic_id).count

    def wait(self, topic_id: int, seen: int, timeout_seconds: float) -> bool:
        """Whether more than `seen` commits were known before the timeout. Raises LogUnavailable when closed."""
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
                        return False
            finally:
                readers.waiting -= 1
                self._waiting -= 1
            if self._closed.is_set():
                raise LogUnavailable("the log is closed")
            if self._failure:
                raise LogUnavailable(f"cannot check for records of other processes: {self._failure}")
            return True

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            self._wake_all()
            self._wanted.notify()
        self._notices.give()  # this also wakes our own thread
        self._thread.join()
        self._notices.close()

    def _of(self, topic_id: int) -> _Readers:
        readers = self._readers.get(topic_id)
        if readers is None:
            readers = self._readers[topic_id] = _Readers(threading.Condition(self._lock))
        return readers

    def _wake(self, readers: _Readers) -> None:
        readers.count += 1
        if readers.waiting:
            readers.committed.notify_all()

    def _wake_all(self) -> None:
        for readers in self._readers.values():
            self._wake(readers)

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                with self._borrow() as connection:
                    self._look(connection)
            except LogError as error:
                self._report(error)
                self._closed.wait(1.0)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Wakes all readers after commits of other processes.

        Every commit changes the data version. A change since the last check is taken for our own commit if we made
        one. It may hide a commit of another process. The writer finds that commit at its next write; if it does not
        write, all readers are woken here after UNCERTAIN_SECONDS.
        """
        known, own_commits, is_uncertain = -1, self._own_commits, False
        while not self._closed.is_set():
            with self._wanted:
                while not self._waiting and not self._closed.is_set():
                    self._wanted.wait()
            checked_at = time.monotonic()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            with self._lock:
                self._failure = None
                if own_commits != self._own_commits:
                    own_commits, is_uncertain = self._own_commits, True
                elif version != known or is_uncertain:
                    is_uncertain = False
                    self._wake_all()
            known = version
            if is_uncertain:  # our own notices would wake this thread after each of our commits
                time.sleep(UNCERTAIN_SECONDS)
            else:
                self._notices.wait(IDLE_SECONDS)
                time.sleep(max(0.0, checked_at + LOOK_SECONDS - time.monotonic()))

    def _report(self, error: LogError) -> None:
        with self._lock:
            self._failure = error
            self._wake_all()
