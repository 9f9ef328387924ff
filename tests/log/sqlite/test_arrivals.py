"""A commit to the SQLite log wakes the readers of its topics. A commit of another process wakes all readers."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from headgate.log.port import Message, Record, Topic
from headgate.log.sqlite import arrivals as sqlite_arrivals
from headgate.log.sqlite import notices
from headgate.log.sqlite.log import SqliteLog
from headgate.log.sqlite.reading import SqliteConsumer
from tests.waiting import PATIENCE_SECONDS, until

OURS, THEIRS = Topic("ours", -1, 1), Topic("theirs", -1, 1)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[tuple[SqliteLog, SqliteLog]]:
    """Two logs on one file, as two processes have them."""
    with closing(SqliteLog(tmp_path / "log.db")) as ours, closing(SqliteLog(tmp_path / "log.db")) as theirs:
        ours.create_topics([OURS, THEIRS])
        ours.append(Message("ours", b"key", b"first"))  # from here on commits of another process are detected
        yield ours, theirs


def test_a_commit_wakes_only_the_readers_of_its_topics(logs: tuple[SqliteLog, SqliteLog]) -> None:
    arrivals = logs[0]._arrivals
    topics = {name: logs[0]._known(name).topic_id for name in ("ours", "theirs")}
    seen = {name: arrivals.seen(topic_id) for name, topic_id in topics.items()}
    logs[0].append(Message("ours", b"key", b"second"))
    assert arrivals.seen(topics["ours"]) == seen["ours"] + 1
    assert arrivals.seen(topics["theirs"]) == seen["theirs"]


def test_a_commit_that_follows_one_of_another_process_wakes_all_readers(logs: tuple[SqliteLog, SqliteLog]) -> None:
    ours, theirs = logs
    topic_id = ours._known("theirs").topic_id
    seen = ours._arrivals.seen(topic_id)
    theirs.append(Message("theirs", b"key", b"hidden"))
    ours.append(Message("ours", b"key", b"second"))
    assert ours._arrivals.seen(topic_id) > seen


def test_a_commit_that_is_hidden_by_our_own_still_wakes_its_readers_soon(
    logs: tuple[SqliteLog, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commits fall between two checks, so the watcher takes the change for our own commit."""
    ours, theirs = logs
    monkeypatch.setattr(sqlite_arrivals, "LOOK_SECONDS", 0.2)
    found: list[Record] = []
    with ours.tail("theirs", {0: 0}) as tail:
        reading = Thread(target=lambda: found.extend(tail.poll(PATIENCE_SECONDS)))
        reading.start()
        until(lambda: bool(ours._arrivals._waiting), "the tail's wait")
        started = time.monotonic()
        ours.append(Message("ours", b"key", b"second"))
        theirs.append(Message("theirs", b"key", b"hidden"))
        reading.join(PATIENCE_SECONDS)
    assert [record.value for record in found] == [b"hidden"]
    assert time.monotonic() - started < PATIENCE_SECONDS / 2


def seconds_until_found(ours: SqliteLog, theirs: SqliteLog) -> float:
    """The time from a commit of another process until a waiting reader has its record."""
    found: list[Record] = []
    with ours.tail("theirs", {0: 0}) as tail:
        reading = Thread(target=lambda: found.extend(tail.poll(PATIENCE_SECONDS)))
        reading.start()
        until(lambda: ours._arrivals._waiting, "a reader that waits")
        started = time.monotonic()
        theirs.append(Message("theirs", b"key", b"value"))
        reading.join(PATIENCE_SECONDS)
    assert [record.value for record in found] == [b"value"]
    return time.monotonic() - started


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")
def test_a_notice_alone_leads_to_the_commit_of_another_process(
    logs: tuple[SqliteLog, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_arrivals, "IDLE_SECONDS", PATIENCE_SECONDS)
    assert seconds_until_found(*logs) < PATIENCE_SECONDS / 2


def test_the_commit_of_a_process_that_dies_before_its_notice_is_found(
    logs: tuple[SqliteLog, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = logs
    monkeypatch.setattr(theirs._arrivals._notices, "give", lambda: None)
    assert seconds_until_found(ours, theirs) < PATIENCE_SECONDS / 2


def test_commits_are_found_without_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_watch", lambda path: None)
    monkeypatch.setattr(sqlite_arrivals, "IDLE_SECONDS", PATIENCE_SECONDS)
    with closing(SqliteLog(tmp_path / "log.db")) as ours, closing(SqliteLog(tmp_path / "log.db")) as theirs:
        ours.create_topics([THEIRS])
        assert seconds_until_found(ours, theirs) < PATIENCE_SECONDS / 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")
def test_a_waiting_reader_causes_few_checks_a_second(
    logs: tuple[SqliteLog, SqliteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    wait = logs[0]._arrivals._notices.wait
    monkeypatch.setattr(logs[0]._arrivals._notices, "wait", lambda seconds: (checks.append(seconds), wait(seconds)))
    with logs[0].tail("theirs", {0: 0}) as tail:
        assert tail.poll(1.0) == []
    assert len(checks) < 10


def test_a_heartbeat_wakes_readers_only_when_it_dropped_a_member(logs: tuple[SqliteLog, SqliteLog]) -> None:
    ours, theirs = logs
    topic_id = ours._known("ours").topic_id
    with ours.consumer("ours", "group", "first") as first, theirs.consumer("ours", "group", "second"):
        assert isinstance(first, SqliteConsumer)
        seen = ours._arrivals.seen(topic_id)
        ours._keeper._send_heartbeats([first])
        assert ours._arrivals.seen(topic_id) == seen
        ours._writer.run(lambda db: db.execute("UPDATE members SET heartbeat_ms = 0 WHERE member = 'second'"), 10)
        seen = ours._arrivals.seen(topic_id)
        ours._keeper._send_heartbeats([first])
        assert ours._arrivals.seen(topic_id) > seen
