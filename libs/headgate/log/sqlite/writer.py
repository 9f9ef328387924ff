"""All writes of a process to the SQLite log. Writes that wait at the same time share one transaction and one fsync."""

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

from headgate.log.group_commit import Entry, GroupCommit, Take
from headgate.log.port import LogError, LogUnavailable, OutcomeUnknown
from headgate.log.sqlite.appender import Appender, Place, Row
from headgate.log.sqlite.store import cause_of, is_before_commit, when_free

MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024
ROW_OVERHEAD_BYTES = 200
GATHER_SECONDS = 0.002
CLOSE_SECONDS = 30.0

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


def _always(_result: object) -> bool:
    return True


def _never(_result: object) -> bool:
    return False


class _Write(NamedTuple):
    """Rows to append, or a job to run inside the transaction. `is_news` decides if its result wakes all readers."""

    rows: Sequence[Row]
    job: Job[Any] | None
    is_news: Callable[[Any], bool]


class Writer:
    """Runs all writes of this process one after the other.

    It calls `committed` after every commit, before the callers go on. The argument is the ids of the topics that got
    records. It is None when any topic may have new records: a group changed, or another process wrote too. `now_ms`
    is the time of the log, which the records get.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        committed: Callable[[Collection[int] | None], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._committed = committed
        self._appender = Appender(connection, now_ms)
        self._group_commit: GroupCommit[_Write] = GroupCommit(
            self._transaction, MAX_WAITING_BYTES, MAX_BATCH_BYTES, GATHER_SECONDS
        )

    def append(self, rows: Sequence[Row], timeout_seconds: float) -> list[Place]:
        """Writes all rows in one transaction. Returns their places when the rows are on disk."""
        cost_bytes = sum(row.cost_bytes for row in rows) + ROW_OVERHEAD_BYTES * len(rows)
        write = _Write(rows, None, _never)
        places: list[Place] = self._group_commit.submit(write, cost_bytes, time.monotonic() + timeout_seconds)
        return places

    def run(self, job: Job[T], timeout_seconds: float, is_news: Callable[[T], bool] = _always) -> T:
        """Runs a job in a transaction. A LogError of the job undoes only this job and is raised here.

        Readers are woken when `is_news` returns True for the result of the job.
        """
        write = _Write((), job, is_news)
        result: T = self._group_commit.submit(write, ROW_OVERHEAD_BYTES, time.monotonic() + timeout_seconds)
        return result

    def close(self) -> None:
        """Accepts no more writes, waits for those that wait, and closes the connection."""
        if self._group_commit.close(CLOSE_SECONDS):
            self._connection.close()

    def _transaction(self, take: Take[_Write], deadline: float) -> None:
        try:
            self._begin(deadline)
            self._commit(take())
        finally:
            if self._connection.in_transaction:  # this thread was interrupted
                self._undo()

    def _begin(self, deadline: float) -> None:
        try:
            when_free(self._connection, "BEGIN IMMEDIATE", deadline)
        except sqlite3.Error as error:
            raise LogUnavailable(f"nothing was changed: {cause_of(error)}") from error

    def _commit(self, batch: Sequence[Entry[_Write]]) -> None:
        try:
            results = [self._result(entry.item) for entry in batch]
        except Exception as error:  # noqa: BLE001  # every error goes to all callers of the batch
            self._undo()
            return _fail(batch, LogUnavailable, f"nothing was written: {cause_of(error)}", error)
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            if is_before_commit(error):
                return _fail(batch, LogUnavailable, f"nothing was written: {cause_of(error)}", error)
            # The commit may have reached the disk although the call failed.
            return _fail(batch, OutcomeUnknown, f"the commit failed: {cause_of(error)}", error)
        self._committed(self._topics_of(batch, results))
        for entry, result in zip(batch, results, strict=True):
            entry.finish(result)

    def _topics_of(self, batch: Sequence[Entry[_Write]], results: Sequence[object]) -> set[int] | None:
        has_news = any(entry.item.is_news(result) for entry, result in zip(batch, results, strict=True))
        if self._appender.found_others() or has_news:
            return None
        return {row.topic_id for entry in batch for row in entry.item.rows}

    def _result(self, write: _Write) -> object:
        if write.job is None:
            return self._appender.append(write.rows)
        self._connection.execute("SAVEPOINT job")
        try:
            result = write.job(self._connection)
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


def _fail(batch: Sequence[Entry[_Write]], kind: type[LogError], reason: str, cause: Exception) -> None:
    for entry in batch:
        failure = kind(reason)  # one for each: every waiting thread adds its own traceback
        failure.__cause__ = cause
        entry.finish(failure)
