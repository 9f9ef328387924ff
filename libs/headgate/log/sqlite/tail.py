"""Tails of the SQLite log. The thread that commits records also passes them to the followers in its process."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from headgate.log.port import LogUnavailable, Record
from headgate.log.sqlite.arrivals import FOLLOWERS, Arrivals
from headgate.log.sqlite.reading import PAGE_RECORDS, advance, page
from headgate.log.sqlite.store import Readers

Handle = Callable[[Sequence[Record]], None]


class SqliteTail:
    """Follows named partitions; implements port.Tail."""

    def __init__(
        self, topic: str, topic_id: int, start: Mapping[int, int], readers: Readers, arrivals: Arrivals
    ) -> None:
        self._topic, self._topic_id = topic, topic_id
        self._next = dict(start)
        self._readers, self._arrivals = readers, arrivals
        self._handle: Handle | None = None
        self._passing_on = threading.Lock()
        self._has_more = False
        """Whether there may be records that were not passed on."""
        self._failure: Exception | None = None
        self._waits = True
        self._closed = False

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        self._require_open()
        deadline = time.monotonic() + timeout_seconds
        while True:
            seen = self._arrivals.seen(self._topic_id)
            records = self._read()
            left = deadline - time.monotonic()
            if records or left <= 0 or not self._waits or not self._arrivals.wait(self._topic_id, seen, left):
                return records

    def follow(self, handle: Handle, timeout_seconds: float) -> None:
        self._require_open()
        if self._handle is None:
            self._handle = handle
            self._arrivals.call(self._topic_id, self._committed)
        seen = self._arrivals.seen(FOLLOWERS)
        found = self._pass_on(handle)
        if self._failure is not None:
            raise self._failure
        if not found and self._waits:
            self._arrivals.wait(FOLLOWERS, seen, timeout_seconds)

    def stop_waiting(self) -> None:
        self._waits = False
        self._arrivals.wake(self._topic_id)
        self._arrivals.wake(FOLLOWERS)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._handle is not None:
            self._arrivals.stop_calling(self._topic_id, self._committed)
            with self._passing_on:
                self._failure = LogUnavailable("the tail is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the tail is closed")

    def _committed(self) -> None:
        assert self._handle is not None, "called for followers only"
        try:
            self._pass_on(self._handle)
        except Exception as error:  # noqa: BLE001  # every error belongs to the follower, not to the writer
            self._failure = error

    def _pass_on(self, handle: Handle) -> bool:
        """Passes new records on and returns whether there were any.

        Never waits: when another thread is passing records on, that thread also passes on the new ones.
        """
        found = False
        self._has_more = True
        while self._has_more and self._failure is None and self._passing_on.acquire(blocking=False):
            try:
                if self._failure is not None:  # set by another thread before this one got the lock
                    break
                self._has_more = False
                records = self._read()
                if len(records) >= PAGE_RECORDS:
                    self._has_more = True
                handle(records)
                found = found or bool(records)
            except BaseException:
                self._failure = LogUnavailable(
                    "a follower did not get all records that were read: this tail cannot go on"
                )
                raise
            finally:
                self._passing_on.release()
        return found

    def _read(self) -> Sequence[Record]:
        with self._readers.borrow() as db:
            records = page(db, self._topic, self._topic_id, self._next, PAGE_RECORDS)
        advance(self._next, records)
        return records
