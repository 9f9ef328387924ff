"""The event log in one SQLite file. Several processes of one machine can share it, and it needs no server."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from headgate.log.partitioner import partition_of
from headgate.log.port import (
    MAX_RECORD_BYTES,
    Message,
    Position,
    Record,
    RecordTooLarge,
    Topic,
    TopicState,
    UnknownTopic,
    record_bytes,
    refuse_mismatch,
)
from headgate.log.sqlite import groups
from headgate.log.sqlite.appender import Place, Row
from headgate.log.sqlite.arrivals import Arrivals
from headgate.log.sqlite.headers import encode_headers
from headgate.log.sqlite.host_clock import HostClock
from headgate.log.sqlite.keeper import Keeper
from headgate.log.sqlite.notices import Notices
from headgate.log.sqlite.reading import SqliteConsumer, page, page_of_values
from headgate.log.sqlite.retention import bisect_time
from headgate.log.sqlite.store import Readers, prepare, rewrite_version
from headgate.log.sqlite.tail import SqliteTail
from headgate.log.sqlite.writer import Writer

SESSION_SECONDS = 10.0
BEATS_SHARE = 0.2
"""Of a session, between two heartbeats: a member may miss four in a row."""
CREATE_SECONDS = 10.0
MAX_TRANSACTION_MESSAGES = 5_000


class _Known(NamedTuple):
    topic_id: int
    retention_ms: int
    partitions: int


class SqliteLog:
    """Implements port.EventLog on the file at `path`, which is created when missing.

    `session_seconds` is how long a member of a group keeps its partitions without a heartbeat.
    Raises LogUnavailable when the file cannot be opened and LogError when it is not a log of this version.
    """

    def __init__(self, path: Path | str, session_seconds: float = SESSION_SECONDS) -> None:
        connection = prepare(Path(path))
        self._session_seconds = session_seconds
        self._topics: dict[str, _Known] = {}
        self._readers = Readers(Path(path))
        self._arrivals = Arrivals(self._readers.borrow, Notices(Path(path)))
        self._clock = HostClock(Path(path))
        self._writer = Writer(connection, self._arrivals.committed, self._clock.now_ms)
        self._keeper = Keeper(self._writer, session_seconds * BEATS_SHARE, self._clock.now_ms)
        self._closing = threading.Lock()
        self._closed = False

    def create_topics(self, topics: Iterable[Topic]) -> None:
        declared = list(topics)
        self._writer.run(lambda db: _create(db, declared), CREATE_SECONDS)

    def describe_topics(self, topics: Iterable[Topic]) -> Sequence[TopicState]:
        with self._readers.borrow() as db:
            return [_describe(db, topic) for topic in topics]

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        row = self._row(message)
        (place,) = self._writer.append((row,), timeout_seconds)
        return Position(message.topic, row.partition, *place)

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        rows = [self._row(message) for message in messages]
        deadline = time.monotonic() + timeout_seconds
        places: list[Place] = []
        for at in range(0, len(rows), MAX_TRANSACTION_MESSAGES):
            slice_ = rows[at : at + MAX_TRANSACTION_MESSAGES]
            places += self._writer.append(slice_, max(0.0, deadline - time.monotonic()))
        return [
            Position(message.topic, row.partition, *place)
            for message, row, place in zip(messages, rows, places, strict=True)
        ]

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[Record]:
        topic_id = self._topic_with(topic, (partition,)).topic_id
        with self._readers.borrow() as db:
            return page(db, topic, topic_id, {partition: offset}, limit)

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[tuple[int, bytes | None]]:
        topic_id = self._topic_with(topic, (partition,)).topic_id
        with self._readers.borrow() as db:
            return page_of_values(db, topic_id, partition, offset, limit)

    def end(self, topic: str) -> Mapping[int, int]:
        known = self._known(topic)
        with self._readers.borrow() as db:
            return {partition: _end(db, known.topic_id, partition) for partition in range(known.partitions)}

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        known = self._known(topic)
        with self._readers.borrow() as db:
            return {number: bisect_time(db, known.topic_id, number, timestamp_ms) for number in range(known.partitions)}

    def tail(self, topic: str, start: Mapping[int, int]) -> SqliteTail:
        topic_id = self._topic_with(topic, start).topic_id
        return SqliteTail(topic, topic_id, start, self._readers, self._arrivals)

    def consumer(self, topic: str, group: str, member: str) -> SqliteConsumer:
        known = self._known(topic)
        me = groups.Membership(known.topic_id, group, member, uuid.uuid4().hex, int(self._session_seconds * 1000))
        return SqliteConsumer(
            topic,
            me,
            known.partitions,
            self._readers,
            self._writer,
            self._arrivals,
            self._keeper,
            self._clock.now_ms,
        )

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        topic_id = self._known(topic).topic_id
        with self._readers.borrow() as db:
            return groups.committed(db, topic_id, group)

    def check_writable(self, timeout_seconds: float = 5.0) -> None:
        """Commits a change of the file that changes nothing. Raises LogUnavailable with the cause when it cannot."""
        self._writer.run(rewrite_version, timeout_seconds, is_news=bool)

    def close(self) -> None:
        """Writes the records that wait and closes the file. Tails and consumers of this log fail from then on."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._keeper.close()
            self._writer.close()
            self._arrivals.close()
            self._readers.close()
            self._clock.close()

    def _row(self, message: Message) -> Row:
        known = self._topics.get(message.topic) or self._known(message.topic)
        size_bytes = record_bytes(message)
        if size_bytes > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"a record for {message.topic} has {size_bytes} bytes: at most {MAX_RECORD_BYTES} are allowed"
            )
        partition = partition_of(message.key, known.partitions)
        return Row(known.topic_id, partition, message.key, encode_headers(message.headers), message.value, size_bytes)

    def _known(self, topic: str) -> _Known:
        """The topic's row. It never changes, so it is looked up once."""
        known = self._topics.get(topic)
        if known is None:
            with self._readers.borrow() as db:
                known = _look_up(db, topic)
            if known is None:
                raise UnknownTopic(f"the topic {topic} does not exist")
            self._topics[topic] = known
        return known

    def _topic_with(self, topic: str, partitions: Iterable[int]) -> _Known:
        known = self._known(topic)
        for partition in partitions:
            if not 0 <= partition < known.partitions:
                raise UnknownTopic(f"{topic} has no partition {partition}")
        return known


def _look_up(db: sqlite3.Connection, topic: str) -> _Known | None:
    row = db.execute("SELECT topic_id, retention_ms, partitions FROM topics WHERE name = ?", (topic,)).fetchone()
    return _Known(*row) if row else None


def _create(db: sqlite3.Connection, topics: Sequence[Topic]) -> None:
    states = [_describe(db, topic) for topic in topics]
    refuse_mismatch(states)
    db.executemany(
        "INSERT INTO topics (name, retention_ms, partitions) VALUES (?, ?, ?)",
        [
            (topic.name, topic.retention_ms, topic.partitions)
            for topic, state in zip(topics, states, strict=True)
            if not state.exists
        ],
    )


def _describe(db: sqlite3.Connection, topic: Topic) -> TopicState:
    known = _look_up(db, topic.name)
    found = {} if known is None else _settings(known.partitions, known.retention_ms)
    return TopicState(topic.name, _settings(topic.partitions, topic.retention_ms), found)


def _settings(partitions: int, retention_ms: int) -> dict[str, str]:
    return {"partitions": str(partitions), "retention.ms": str(retention_ms)}


def _end(db: sqlite3.Connection, topic_id: int, partition: int) -> int:
    query = "SELECT offset + 1 FROM log WHERE topic_id = ? AND partition = ? ORDER BY offset DESC LIMIT 1"
    row = db.execute(query, (topic_id, partition)).fetchone()
    return row[0] if row else 0
