"""Tails of the SQLite log. A commit of this process is handed to those who follow on the thread that committed it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from headgate.log.port import LogUnavailable, Record
from headgate.log.sqlite.arrivals import FOLLOWERS, Arrivals
from headgate.log.sqlite.reading import PAGE_RECORDS, advance, page
from headgate.log.sqlite.store import Readers

Take = Callable[[Sequence[Record]], None]


class SqliteTail:
    """Follows named partitions; implements port.Tail."""

    def __init__(
        self, topic: str, topic_id: int, start: Mapping[int, int], readers: Readers, arrivals: Arrivals
    ) -> None:
        self._topic, self._topic_id = topic, topic_id
        self._next = dict(start)
        self._readers, self._arrivals = readers, arrivals
        self._take: Take | None = None
        self._handing_over = threading.Lock()
        self._more = False
        """Whether there may be records that were not handed over."""
        self._failure: Exception | None = None
        self._closed = False

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        self._require_open()
        deadline = time.monotonic() + timeout_seconds
        while True:
            seen = self._arrivals.seen(self._topic_id)
            records = self._read()
            left = deadline - time.monotonic()
            if records or left <= 0:
                return records
            self._arrivals.wait(self._topic_id, seen, left)

    def follow(self, take: Take, timeout_seconds: float) -> None:
        self._require_open()
        if self._take is None:
            self._take = take
            self._arrivals.call(self._topic_id, self._committed)
        seen = self._arrivals.seen(FOLLOWERS)
        found = self._hand_over(take)
        if self._failure is not None:
            raise self._failure
        if not found:
            self._arrivals.wait(FOLLOWERS, seen, timeout_seconds)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._take is not None:
            self._arrivals.call_no_more(self._topic_id, self._committed)
            with self._handing_over:
                self._failure = LogUnavailable("the tail is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the tail is closed")

    def _committed(self) -> None:
        assert self._take is not None, "called for followers only"
        try:
            self._hand_over(self._take)
        except Exception as error:  # noqa: BLE001 - whatever it was, it goes to the one who follows, not to the writer
            self._failure = error

    def _hand_over(self, take: Take) -> bool:
        """Whether there was anything. Whoever finds another thread at it leaves it to that one, and never waits."""
        found = False
        self._more = True
        while self._more and self._failure is None and self._handing_over.acquire(blocking=False):
            try:
                if self._failure is not None:  # since it was looked at without the lock
                    break
                self._more = False
                records = self._read()
                if len(records) >= PAGE_RECORDS:
                    self._more = True
                take(records)
                found = found or bool(records)
            except BaseException:
                self._failure = LogUnavailable("records were read that did not arrive: the tail cannot go on")
                raise
            finally:
                self._handing_over.release()
        return found

    def _read(self) -> Sequence[Record]:
        with self._readers.borrow() as db:
            records = page(db, self._topic, self._topic_id, self._next, PAGE_RECORDS)
        advance(self._next, records)
        return records
