"""The SQLite log alone: its file, its writer, its retention, and how it assigns partitions."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.log.port import Headers, LogError, LogUnavailable, Message, OutcomeUnknown, Topic
from headgate.log.sqlite import retention as sqlite_retention
from headgate.log.sqlite.groups import balanced
from headgate.log.sqlite.headers import decode_headers, encode_headers
from headgate.log.sqlite.log import SqliteLog
from headgate.log.sqlite.retention import delete_expired
from tests.waiting import PATIENCE_SECONDS, until

TOPIC = Topic("topic", -1, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path)
    log.create_topics([TOPIC])
    yield log
    log.close()


# The file


def test_a_log_of_another_schema_version_is_refused(path: Path) -> None:
    SqliteLog(path).close()
    alter(path, "PRAGMA user_version = 2")
    with pytest.raises(LogError, match="schema version 2"):
        SqliteLog(path)


def test_a_database_of_another_program_is_refused_and_not_changed(path: Path) -> None:
    alter(path, "CREATE TABLE theirs (x)")
    with pytest.raises(LogError, match="another program"):
        SqliteLog(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    db.close()


def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(LogError):
        SqliteLog(path)


def test_a_file_that_cannot_be_created_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LogUnavailable):
        SqliteLog(tmp_path / "file" / "log.db")


def test_many_threads_may_open_a_new_log_at_once(path: Path) -> None:
    opened: list[SqliteLog] = []
    threads = [threading.Thread(target=lambda: opened.append(SqliteLog(path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for log in opened:
        log.close()


# The writer


def test_a_call_that_times_out_before_the_write_begins_changes_nothing_and_blocks_no_other(
    log: SqliteLog, path: Path
) -> None:
    with other_writer(path), pytest.raises(LogUnavailable, match="nothing was changed"):
        log.append(message(b"given up"), timeout_seconds=0.05)
    log.append(message(b"next"))
    assert [record.value for record in log.read("topic", 0, 0)] == [b"next"]


def test_an_append_waits_for_a_busy_file(log: SqliteLog, path: Path) -> None:
    with other_writer(path):
        waiting = threading.Thread(target=lambda: log.append(message(b"waited")))
        waiting.start()
    waiting.join(PATIENCE_SECONDS)
    assert [record.value for record in log.read("topic", 0, 0)] == [b"waited"]


def test_an_error_of_a_write_reaches_all_its_callers_and_later_writes_succeed(log: SqliteLog, path: Path) -> None:
    alter(path, "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT raise(ABORT, 'disk on fire'); END")
    failures: Counter[str] = Counter()

    def append() -> None:
        try:
            log.append(message(b"lost"))
        except LogUnavailable as failure:
            failures[str(failure)] += 1

    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert failures == {"nothing was written: disk on fire": 8}
    alter(path, "DROP TRIGGER refuse")
    assert log.append(message(b"kept")).offset == 0


def test_a_call_that_times_out_during_its_write_has_an_unknown_outcome(log: SqliteLog) -> None:
    first, second = Hang(), Hang()
    outcome: list[type[Exception]] = []

    def append() -> None:
        try:
            log.append(message(b"in the second's transaction"), timeout_seconds=2.0)
        except LogError as error:
            outcome.append(type(error))

    callers = [threading.Thread(target=log._writer.run, args=(hang, PATIENCE_SECONDS)) for hang in (first, second)]
    callers.append(threading.Thread(target=append))
    for waiting, caller in enumerate(callers):
        caller.start()
        assert first.begun.wait(PATIENCE_SECONDS)
        until(lambda waiting=waiting: len(log._writer._group_commit._queue) == waiting)  # type: ignore[misc]
    first.released.set()
    callers[2].join(PATIENCE_SECONDS)
    second.released.set()
    for caller in callers:
        caller.join(PATIENCE_SECONDS)
    assert outcome == [OutcomeUnknown]
    assert log.append(message(b"next")).offset == 1


def test_a_call_that_times_out_while_another_writes_changes_nothing(log: SqliteLog) -> None:
    hang = Hang()
    writing = threading.Thread(target=log._writer.run, args=(hang, PATIENCE_SECONDS))
    writing.start()
    assert hang.begun.wait(PATIENCE_SECONDS)
    with pytest.raises(LogUnavailable, match="not written before the deadline; nothing was changed"):
        log.append(message(b"given up"), timeout_seconds=0.05)
    hang.released.set()
    writing.join(PATIENCE_SECONDS)
    assert log.append(message(b"next")).offset == 0


def test_an_interrupted_write_does_not_block_the_next_one(log: SqliteLog) -> None:
    def interrupt(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log._writer.run(interrupt, PATIENCE_SECONDS)
    assert log.append(message(b"next")).offset == 0


def test_a_refused_job_is_undone_alone(log: SqliteLog) -> None:
    def refuse(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM topics")
        raise LogError("refused")

    with pytest.raises(LogError, match="refused"):
        log._writer.run(refuse, 10.0)
    other = SqliteLog(log._readers._path)
    assert other.end("topic") == {0: 0}
    other.close()


def test_close_writes_the_records_that_wait(path: Path) -> None:
    log = SqliteLog(path)
    log.create_topics([TOPIC])
    acknowledged: list[int] = []

    def append() -> None:
        try:
            while True:
                acknowledged.append(log.append(message(b"v")).offset)
        except LogUnavailable:
            return

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(acknowledged) < 50 and time.monotonic() < deadline:
        threads[0].join(0.001)
    log.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    again = SqliteLog(path)
    assert sorted(acknowledged) == list(range(again.end("topic")[0]))
    again.close()


# Waiting


def test_asking_to_stop_waiting_ends_a_wait_that_is_in_progress(log: SqliteLog) -> None:
    asked = threading.Event()

    def read_on(wait: Callable[[], object]) -> None:
        while not asked.is_set():
            wait()

    with (
        closing(log.tail("topic", {0: 0})) as polled,
        closing(log.tail("topic", {0: 0})) as followed,
        closing(log.consumer("topic", "group", "member")) as consumer,
    ):
        waits: list[Callable[[], object]] = [
            lambda: polled.poll(2 * PATIENCE_SECONDS),
            lambda: followed.follow(list, 2 * PATIENCE_SECONDS),
            lambda: consumer.poll(2 * PATIENCE_SECONDS),
        ]
        threads = [threading.Thread(target=read_on, args=(wait,)) for wait in waits]
        for thread in threads:
            thread.start()
        until(lambda: log._arrivals._waiting == len(waits), "all three to wait")
        asked.set()
        for reader in (polled, followed, consumer):
            reader.stop_waiting()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


# Retention


def test_expired_records_are_deleted_but_the_end_offset_stays(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_retention, "MAX_DELETED", 10)
    log.create_topics([Topic("short", 1000, 1)])
    for topic in ("short", "topic"):
        log.append_all([Message(topic, b"k", b"v")] * 25)
    (last,) = log.read("short", 0, 24)
    later_ms = last.timestamp_ms + 10_000
    deleted = [log._writer.run(lambda db: delete_expired(db, later_ms), 10.0) for _ in range(4)]
    assert deleted == [10, 10, 4, 0]
    assert [record.offset for record in log.read("short", 0, 0)] == [24]
    assert log.append(Message("short", b"k", b"v")).offset == 25
    assert len(log.read("topic", 0, 0)) == 25


def test_records_within_their_retention_are_kept(log: SqliteLog) -> None:
    log.create_topics([Topic("short", 60_000, 1)])
    log.append_all([Message("short", b"k", b"v")] * 5)
    assert log._writer.run(lambda db: delete_expired(db, time.time_ns() // 1_000_000), 10.0) == 0
    with log.tail("short", {0: 0}) as tail:
        assert len(tail.poll(1.0)) == 5


# Shares and headers


@given(
    st.dictionaries(st.integers(0, 20), st.none() | st.sampled_from("abcdx"), max_size=21),
    st.sets(st.sampled_from("abcd"), min_size=1),
)
def test_every_partition_has_a_member_in_equal_numbers_with_as_few_moves_as_possible(
    held: dict[int, str | None], members: set[str]
) -> None:
    shared = balanced(held, sorted(members))
    counts = Counter(dict.fromkeys(members, 0)) + Counter(shared.values())
    sizes = [counts[member] for member in members]
    assert shared.keys() == held.keys()
    assert set(shared.values()) <= members
    assert max(sizes) - min(sizes) <= 1
    floor, larger = divmod(len(held), len(members))
    had = sorted((sum(holder == member for holder in held.values()) for member in members), reverse=True)
    kept = sum(shared[partition] == holder for partition, holder in held.items())
    assert kept == sum(min(count, floor + (place < larger)) for place, count in enumerate(had))


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.binary(max_size=50)), max_size=12
    ).map(tuple)
)
def test_decoded_headers_equal_the_encoded_ones(headers: Headers) -> None:
    assert decode_headers(encode_headers(headers)) == headers


# The vocabulary of these tests


def message(value: bytes) -> Message:
    return Message("topic", b"k", value)


class Hang:
    """A job in a transaction that does not end before it is released."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.begun.set()
        self.released.wait(PATIENCE_SECONDS)


def alter(path: Path, statement: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()


@contextmanager
def other_writer(path: Path) -> Iterator[None]:
    """Another program that holds the write lock meanwhile."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()
