"""Finds the records of a time in the SQLite log, and deletes expired records."""

import sqlite3

MAX_DELETED = 2_000
"""How many records of a partition one transaction deletes at most, so that appends never wait long."""


def bisect_time(db: sqlite3.Connection, topic_id: int, partition: int, timestamp_ms: int) -> int:
    """The first offset at or after the time, or the end. Times never decrease within a partition."""
    low, high = _bounds(db, topic_id, partition)
    while low < high:
        offset, found_ms = _at_or_after(db, topic_id, partition, (low + high) // 2)
        if found_ms >= timestamp_ms:
            high = (low + high) // 2
        else:
            low = offset + 1
    return low


def delete_expired(db: sqlite3.Connection, now_ms: int) -> int:
    """Deletes some expired records and returns their number. The last record of a partition stays: it marks the end."""
    deleted = 0
    for topic_id, retention_ms, partitions in db.execute(
        "SELECT topic_id, retention_ms, partitions FROM topics"
    ).fetchall():
        if retention_ms < 0:
            continue
        for partition in range(partitions):
            first, end = _bounds(db, topic_id, partition)
            before = min(bisect_time(db, topic_id, partition, now_ms - retention_ms), first + MAX_DELETED, end - 1)
            deleted += db.execute(
                "DELETE FROM log WHERE topic_id = ? AND partition = ? AND offset < ?", (topic_id, partition, before)
            ).rowcount
    return deleted


def _bounds(db: sqlite3.Connection, topic_id: int, partition: int) -> tuple[int, int]:
    where = "FROM log WHERE topic_id = ? AND partition = ?"
    first, last = db.execute(
        f"SELECT (SELECT min(offset) {where}), (SELECT max(offset) {where})", (topic_id, partition, topic_id, partition)
    ).fetchone()
    return (0, 0) if first is None else (first, last + 1)


def _at_or_after(db: sqlite3.Connection, topic_id: int, partition: int, offset: int) -> tuple[int, int]:
    found: tuple[int, int] = db.execute(
        "SELECT offset, timestamp_ms FROM log"
        " WHERE topic_id = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT 1",
        (topic_id, partition, offset),
    ).fetchone()
    return found
