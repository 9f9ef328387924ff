"""The one thread of a process that writes to the SQLite log: whatever waits goes into one transaction and one fsync.

A caller that gave up never disturbs the others, and the thread never dies without failing those who wait for it.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from headgate.log.port import LogError, LogUnavailable, OutcomeUnknown
from headgate.log.sqlite_store import when_free

MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024
ROW_OVERHEAD_BYTES = 200
CLOSE_SECONDS = 30.0

_COLUMNS = 7
_ROWS_PER_STATEMENT = 64
_logger = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


class Row(NamedTuple):
    """A record without the offset and time that the writer gives it."""

    topic_id: int
    partition: int
    key: bytes
    headers: bytes | None
    value: bytes | None
    cost_bytes: int


@dataclass(slots=True)
class _Work:
    """Rows to append, or a job that runs inside the transaction."""

    rows: Sequence[Row]
    job: Job[Any] | None
    cost_bytes: int
    done: Future[Any] = field(default_factory=Future)


class Writer:
    """Serialises all writes of this process. `committed` is called after every commit, before the callers wake up.

    It is told the topics that got records, or None when any reader may find something new: a group changed, or
    another process has written too.
    """

    def __init__(self, connection: sqlite3.Connection, committed: Callable[[Collection[int] | None], None]) -> None:
        self._connection = connection
        self._committed = committed
        self._appender = _Appender(connection)
        self._queue: deque[_Work] = deque()
        self._waiting_bytes = 0
        self._closing = False
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)
        self._space = threading.Condition(lock)
        self._thread = threading.Thread(target=self._serve, name="headgate-log-writer", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Row], timeout_seconds: float) -> list[int]:
        """The offsets of the rows, once they are on disk. All rows of one call stand in one transaction."""
        cost_bytes = sum(row.cost_bytes for row in rows) + ROW_OVERHEAD_BYTES * len(rows)
        offsets: list[int] = self._wait(_Work(rows, None, cost_bytes), timeout_seconds)
        return offsets

    def run(self, job: Job[T], timeout_seconds: float) -> T:
        """Runs a job in a transaction; a LogError that it raises undoes only the job and comes back here."""
        result: T = self._wait(_Work((), job, ROW_OVERHEAD_BYTES), timeout_seconds)
        return result

    def close(self) -> None:
        """Writes what waits, then stops."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
            self._space.notify_all()
        self._thread.join(CLOSE_SECONDS)

    def _wait(self, work: _Work, timeout_seconds: float) -> Any:
        deadline = time.monotonic() + timeout_seconds
        self._enqueue(work, deadline)
        try:
            return work.done.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            if work.done.cancel():
                raise LogUnavailable(f"not written within {timeout_seconds} s; nothing was changed") from None
            raise OutcomeUnknown(f"the write was still running after {timeout_seconds} s") from None

    def _enqueue(self, work: _Work, deadline: float) -> None:
        with self._space:
            while self._queue and self._waiting_bytes + work.cost_bytes > MAX_WAITING_BYTES and not self._closing:
                if not self._space.wait(deadline - time.monotonic()):
                    raise LogUnavailable("too many records wait to be written; nothing was changed")
            if self._closing:
                raise LogUnavailable("the log is closed")
            self._queue.append(work)
            self._waiting_bytes += work.cost_bytes
            self._arrived.notify()

    def _serve(self) -> None:
        try:
            while batch := self._take():
                self._write(batch)
        finally:
            self._refuse_the_rest()
            self._connection.close()

    def _take(self) -> list[_Work]:
        """What waits, up to one batch; empty when the log is closing and nothing waits any more."""
        with self._arrived:
            while not self._queue and not self._closing:
                self._arrived.wait()
            batch: list[_Work] = []
            batch_bytes = 0
            while self._queue and (not batch or batch_bytes + self._queue[0].cost_bytes <= MAX_BATCH_BYTES):
                batch.append(self._queue.popleft())
                batch_bytes += batch[-1].cost_bytes
            self._waiting_bytes -= batch_bytes
            self._space.notify_all()
            return batch

    def _write(self, batch: list[_Work]) -> None:
        try:
            when_free(self._connection, "BEGIN IMMEDIATE")
            # Only from here on can a caller no longer take its work back.
            batch = [work for work in batch if work.done.set_running_or_notify_cancel()]
            results = [self._result(work) for work in batch]
        except Exception as error:  # noqa: BLE001 - whatever it was, it goes to those who wait, and the thread lives on
            self._undo()
            return _fail(batch, LogUnavailable, f"nothing was written: {error}", error)
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # The commit record may have reached the disk although the call failed.
            self._undo()
            return _fail(batch, OutcomeUnknown, f"the commit failed: {error}", error)
        self._committed(self._topics_of(batch))
        for work, result in zip(batch, results, strict=True):
            if isinstance(result, LogError):
                work.done.set_exception(result)
            else:
                work.done.set_result(result)

    def _topics_of(self, batch: list[_Work]) -> set[int] | None:
        if self._appender.found_others() or any(work.job is not None for work in batch):
            return None
        return {row.topic_id for work in batch for row in work.rows}

    def _result(self, work: _Work) -> object:
        if work.job is None:
            return self._appender.append(work.rows)
        self._connection.execute("SAVEPOINT job")
        try:
            result = work.job(self._connection)
        except LogError as refusal:
            self._connection.execute("ROLLBACK TO job")
            result = refusal
        self._connection.execute("RELEASE job")
        return result

    def _undo(self) -> None:
        self._appender.forget()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            _logger.exception("rollback failed")

    def _refuse_the_rest(self) -> None:
        with self._arrived:
            self._closing = True
            rest = list(self._queue)
            self._queue.clear()
            self._space.notify_all()
        _fail(rest, LogUnavailable, "the log is closed")


class _Appender:
    """Gives offsets and times and inserts; remembers the ends of partitions while no other process commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ends: dict[tuple[int, int], tuple[int, int]] = {}
        self._data_version = -1
        self._found_others = False

    def forget(self) -> None:
        self._ends.clear()

    def found_others(self) -> bool:
        """Whether another process has committed since this was last asked."""
        found, self._found_others = self._found_others, False
        return found

    def append(self, rows: Sequence[Row]) -> list[int]:
        (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._ends.clear()
            self._data_version = data_version
            self._found_others = True
        now_ms = time.time_ns() // 1_000_000
        offsets: list[int] = []
        parameters: list[object] = []
        for topic_id, partition, key, headers, value, _ in rows:
            offset, last_ms = self._end(topic_id, partition)
            # Times never run backwards within a partition, so that a time can be looked up by bisection.
            timestamp_ms = max(now_ms, last_ms)
            self._ends[topic_id, partition] = offset + 1, timestamp_ms
            offsets.append(offset)
            parameters += (topic_id, partition, offset, timestamp_ms, key, headers, value)
        self._insert(parameters)
        return offsets

    def _end(self, topic_id: int, partition: int) -> tuple[int, int]:
        end = self._ends.get((topic_id, partition))
        if end is not None:
            return end
        last = self._connection.execute(
            "SELECT offset + 1, timestamp_ms FROM log"
            " WHERE topic_id = ? AND partition = ? ORDER BY offset DESC LIMIT 1",
            (topic_id, partition),
        ).fetchone()
        return last or (0, 0)

    def _insert(self, parameters: list[object]) -> None:
        """Inserts many rows per statement: sqlite3 lets go of the interpreter lock once per statement, not per row.

        Powers of two keep the number of different statements small, so that all stay prepared.
        """
        at, rows_left, size = 0, len(parameters) // _COLUMNS, _ROWS_PER_STATEMENT
        while rows_left:
            while size > rows_left:
                size //= 2
            statement = "INSERT INTO log VALUES " + ",".join(["(?,?,?,?,?,?,?)"] * size)
            self._connection.execute(statement, parameters[at : at + size * _COLUMNS])
            at += size * _COLUMNS
            rows_left -= size


def _fail(works: Sequence[_Work], kind: type[LogError], reason: str, cause: Exception | None = None) -> None:
    for work in works:
        if work.done.running() or work.done.set_running_or_notify_cancel():
            failure = kind(reason)  # one each: every waiting thread adds its own traceback
            failure.__cause__ = cause
            work.done.set_exception(failure)
