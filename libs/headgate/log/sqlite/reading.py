"""Reads the SQLite log: pages of records, and the members of consumer groups."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, Self

from headgate.log.port import LogError, LogUnavailable, Record, StaleMember
from headgate.log.sqlite import groups
from headgate.log.sqlite.arrivals import Arrivals
from headgate.log.sqlite.headers import decode_headers
from headgate.log.sqlite.store import Readers
from headgate.log.sqlite.writer import Writer

PAGE_RECORDS = 1000
PAGE_BYTES = 8 * 1024 * 1024
GROUP_WRITE_SECONDS = 10.0
MAX_POLL_SECONDS = 300.0
"""A consumer that was not polled for so long sends no more heartbeats, so another member takes over."""

_logger = logging.getLogger(__name__)


def page(db: sqlite3.Connection, topic: str, topic_id: int, start: Mapping[int, int], limit: int) -> list[Record]:
    """Up to `limit` records, partition by partition in the order of `start`. At least one, when there is one."""
    if not start:
        return []
    wanted = ",".join(["(?,?)"] * len(start))
    cursor = db.execute(
        f"WITH wanted(number, start) AS (VALUES {wanted})"  # nosec
        " SELECT partition, offset, timestamp_ms, key, value, headers FROM wanted CROSS JOIN log"
        " ON topic_id = ? AND partition = number AND offset >= start LIMIT ?",
        [number for item in start.items() for number in item] + [topic_id, limit],
    )
    return _records(topic, cursor)


def page_of_values(
    db: sqlite3.Connection, topic_id: int, partition: int, offset: int, limit: int
) -> list[tuple[int, bytes | None]]:
    """Offset and value of up to `limit` records of one partition."""
    cursor = db.execute(
        "SELECT offset, value FROM log WHERE topic_id = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
        (topic_id, partition, offset, limit),
    )
    rows: list[tuple[int, bytes | None]] = []
    size_bytes = 0
    for row in cursor:
        rows.append(row)
        size_bytes += len(row[1] or b"")
        if size_bytes > PAGE_BYTES:
            break
    cursor.close()
    return rows


class Registrar(Protocol):
    """Sends the heartbeats of the consumers that were added."""

    def add(self, consumer: "SqliteConsumer") -> None: ...

    def remove(self, consumer: "SqliteConsumer") -> None: ...


class SqliteConsumer:
    """A member of a group; implements port.Consumer. Another thread calls `heartbeat`, in a transaction."""

    def __init__(
        self,
        topic: str,
        me: groups.Membership,
        partitions: int,
        readers: Readers,
        writer: Writer,
        arrivals: Arrivals,
        registrar: Registrar,
        now_ms: Callable[[], int],
    ) -> None:
        self._topic, self._me, self._partitions = topic, me, partitions
        self._readers, self._writer, self._arrivals = readers, writer, arrivals
        self._registrar = registrar
        self._now_ms = now_ms
        self._generation = -1
        self._held: dict[int, groups.Share] = {}
        self._next: dict[int, int] = {}
        self._polled_at = time.monotonic()
        self._waits = True
        self._closed = False
        self._join()
        registrar.add(self)

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._polled_at = time.monotonic()
            seen = self._arrivals.seen(self._me.topic_id)
            records = self._read()
            left = deadline - time.monotonic()
            if records or left <= 0 or not self._waits or not self._arrivals.wait(self._me.topic_id, seen, left):
                advance(self._next, records)
                return records

    def stop_waiting(self) -> None:
        self._waits = False
        self._arrivals.wake(self._me.topic_id)

    def commit(self, records: Iterable[Record]) -> None:
        done: dict[int, groups.Share] = {}
        for record in records:
            share = self._held.get(record.partition)
            if share is None:
                raise StaleMember(
                    f"partition {record.partition} is not assigned to {self._me.member} of {self._me.group}"
                )
            reached = done[record.partition].next_offset if record.partition in done else 0
            done[record.partition] = groups.Share(share.since, max(reached, record.offset + 1))
        if done:
            self._writer.run(lambda db: groups.commit(db, self._me, done), GROUP_WRITE_SECONDS)

    def heartbeat(self, db: sqlite3.Connection) -> bool:
        """Renews the membership, unless the last poll was too long ago. Returns whether other members were dropped."""
        if time.monotonic() - self._polled_at >= MAX_POLL_SECONDS:
            return False
        try:
            return groups.heartbeat(db, self._me, self._now_ms())
        except StaleMember:
            return False  # the next poll of this consumer joins again or raises the error

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._registrar.remove(self)
        try:
            self._writer.run(lambda db: groups.leave(db, self._me), GROUP_WRITE_SECONDS)
        except LogError as error:  # the group drops the member when its session ends
            _logger.warning("the group %s could not be left: %s", self._me.group, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _join(self) -> None:
        self._writer.run(lambda db: groups.join(db, self._me, self._partitions, self._now_ms()), GROUP_WRITE_SECONDS)

    def _read(self) -> list[Record]:
        if self._closed:
            raise LogUnavailable("the consumer is closed")
        with self._readers.borrow() as db:
            now = groups.view(db, self._me)
            if now.incarnation == self._me.incarnation:
                if now.generation != self._generation:
                    self._take_over(now.generation, groups.shares(db, self._me))
                return page(db, self._topic, self._me.topic_id, self._next, PAGE_RECORDS)
        if now.incarnation is not None:
            raise StaleMember(f"another process joined {self._me.group} as {self._me.member}")
        self._join()  # the group has dropped this member
        return []

    def _take_over(self, generation: int, held: dict[int, groups.Share]) -> None:
        """Keeps the position in partitions that it had before, and takes the group's offset in new ones."""
        self._next = {
            partition: self._next[partition]
            if partition in self._next and self._held[partition].since == share.since
            else share.next_offset
            for partition, share in held.items()
        }
        self._held = held
        self._generation = generation


def advance(following: dict[int, int], records: Sequence[Record]) -> None:
    """Moves the offsets after the records, and their partitions to the end of the dict.

    The next page begins with the other partitions, so a long partition does not block them.
    """
    reached = {record.partition: record.offset + 1 for record in records}
    for partition, offset in reached.items():
        del following[partition]
        following[partition] = offset


def _records(topic: str, cursor: sqlite3.Cursor) -> list[Record]:
    records: list[Record] = []
    size_bytes = 0
    for partition, offset, timestamp_ms, key, value, headers in cursor:
        records.append(Record(topic, partition, offset, timestamp_ms, key, value, decode_headers(headers)))
        if value is not None:
            size_bytes += len(value)
            if size_bytes > PAGE_BYTES:
                break
    cursor.close()
    return records
