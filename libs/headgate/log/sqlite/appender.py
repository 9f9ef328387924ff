"""Appends rows to the table of the log inside an open transaction, and gives them their offsets and times."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

_COLUMNS = 7
_ROWS_PER_STATEMENT = 64


class Row(NamedTuple):
    """A record without offset and time. The appender adds both."""

    topic_id: int
    partition: int
    key: bytes
    headers: bytes | None
    value: bytes | None
    cost_bytes: int


class Place(NamedTuple):
    """The offset and the time of an appended row."""

    offset: int
    timestamp_ms: int


class Appender:
    """Remembers the ends of partitions until another process commits. One thread at a time may use it."""

    def __init__(self, connection: sqlite3.Connection, now_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._ends: dict[tuple[int, int], tuple[int, int]] = {}
        self._data_version = -1
        self._found_others = False

    def forget(self) -> None:
        """Call this after a rollback. The ends are then looked up again."""
        self._ends.clear()

    def found_others(self) -> bool:
        """Whether another process has committed since the last call."""
        found, self._found_others = self._found_others, False
        return found

    def append(self, rows: Sequence[Row]) -> list[Place]:
        """The places of the inserted rows, in their order. Raises sqlite3.Error."""
        (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._ends.clear()
            self._data_version = data_version
            self._found_others = True
        now_ms = self._now_ms()
        places: list[Place] = []
        parameters: list[object] = []
        for topic_id, partition, key, headers, value, _ in rows:
            offset, last_ms = self._end(topic_id, partition)
            # Times never decrease within a partition, so a time can be found by bisection.
            timestamp_ms = max(now_ms, last_ms)
            self._ends[topic_id, partition] = offset + 1, timestamp_ms
            places.append(Place(offset, timestamp_ms))
            parameters += (topic_id, partition, offset, timestamp_ms, key, headers, value)
        self._insert(parameters)
        return places

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
        """Inserts many rows with one statement, because sqlite3 releases the interpreter lock once per statement.

        The numbers of rows are powers of two. So there are few different statements, and all of them stay prepared.
        """
        at, rows_left, size = 0, len(parameters) // _COLUMNS, _ROWS_PER_STATEMENT
        while rows_left:
            while size > rows_left:
                size //= 2
            statement = "INSERT INTO log VALUES " + ",".join(["(?,?,?,?,?,?,?)"] * size)  # nosec
            self._connection.execute(statement, parameters[at : at + size * _COLUMNS])
            at += size * _COLUMNS
            rows_left -= size
