"""Appending rows to the log's table inside an open transaction: it gives them their offsets and times."""

import sqlite3
import time
from collections.abc import Sequence
from typing import NamedTuple

_COLUMNS = 7
_ROWS_PER_STATEMENT = 64


class Row(NamedTuple):
    """A record without the offset and time that the appender gives it."""

    topic_id: int
    partition: int
    key: bytes
    headers: bytes | None
    value: bytes | None
    cost_bytes: int


class Appender:
    """Remembers the ends of partitions while no other process commits. Used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ends: dict[tuple[int, int], tuple[int, int]] = {}
        self._data_version = -1
        self._found_others = False

    def forget(self) -> None:
        """The transaction was undone: the ends are looked up anew."""
        self._ends.clear()

    def found_others(self) -> bool:
        """Whether another process has committed since this was last asked."""
        found, self._found_others = self._found_others, False
        return found

    def append(self, rows: Sequence[Row]) -> list[int]:
        """The offsets of the inserted rows, in their order. Raises sqlite3.Error."""
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
