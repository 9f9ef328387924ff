"""`Tail.follow` on every log passes each record on once and in order, and its calls never overlap."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog, LogUnavailable, Message, Record, Tail
from tests.contract.conftest import Storage
from tests.waiting import PATIENCE_SECONDS, until

FOLLOW_SECONDS = 0.2
ALL = dict.fromkeys(range(PARTITIONS), 0)


class Reader:
    """Follows a tail on its own thread, keeps the records, and counts calls that overlap."""

    def __init__(self, tail: Tail) -> None:
        self.records: list[Record] = []
        self.overlaps = 0
        self.failure: Exception | None = None
        self.raises: Exception | None = None
        """The error that the next call with records raises."""
        self.open = threading.Event()
        """While it is clear, a call with records does not return."""
        self.open.set()
        self.held = threading.Event()
        self._tail = tail
        self._busy = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def values(self) -> list[bytes | None]:
        return [record.value for record in list(self.records)]

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.records) >= count or self.failure, f"{count} records")

    def stop(self) -> None:
        self._stopping.set()
        self.open.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                self._tail.follow(self._handle, FOLLOW_SECONDS)
        except Exception as error:  # noqa: BLE001 - the test checks every error
            self.failure = error

    def _handle(self, records: Sequence[Record]) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            self.records += records
            if records and not self.open.is_set():
                self.held.set()
                assert self.open.wait(PATIENCE_SECONDS)
            if records and self.raises is not None:
                raise self.raises
        finally:
            self._busy.release()


@contextmanager
def reading(log: EventLog, topic: str, start: Mapping[int, int] = ALL) -> Iterator[Reader]:
    with log.tail(topic, start) as tail:
        reader = Reader(tail)
        try:
            yield reader
        finally:
            reader.stop()


@pytest.fixture
def reader(log: EventLog, topic: str) -> Iterator[Reader]:
    with reading(log, topic) as reader:
        yield reader


def test_a_follower_gets_the_records_of_the_log_and_then_those_of_this_process_once_and_in_order(
    log: EventLog, topic: str
) -> None:
    log.append_all([Message(topic, b"k", b"%d" % number) for number in range(2500)])
    with reading(log, topic) as reader:
        reader.wait_for(1)
        for number in range(2500, 2550):
            log.append(Message(topic, b"k", b"%d" % number))
        reader.wait_for(2550)
    assert reader.values() == [b"%d" % number for number in range(2550)]
    assert (reader.overlaps, reader.failure) == (0, None)


def test_a_follower_gets_only_the_given_partitions_from_the_given_offsets(log: EventLog, topic: str) -> None:
    keys = [b"a", b"b", b"c"]
    first, other, third = (partition_of(key, PARTITIONS) for key in keys)
    assert len({first, other, third}) == 3
    positions = log.append_all([Message(topic, key, key + b"%d" % number) for number in range(2) for key in keys])
    with reading(log, topic, {first: positions[3].offset, third: 0}) as reader:
        reader.wait_for(3)
        log.append_all([Message(topic, key, key + b"2") for key in keys])
        reader.wait_for(5)
    assert sorted(record.value or b"" for record in reader.records) == [b"a1", b"a2", b"c0", b"c1", b"c2"]


def test_an_append_of_another_log_wakes_a_waiting_follower(storage: Storage, reader: Reader, topic: str) -> None:
    storage.open().append(Message(topic, b"k", b"v"))
    reader.wait_for(1)
    assert reader.values() == [b"v"]


def test_records_of_many_threads_and_of_another_process_come_once_and_in_order_and_calls_never_overlap(
    storage: Storage, log: EventLog, topic: str, reader: Reader
) -> None:
    theirs, ours = [f"theirs-{number}" for number in range(3)], [f"ours-{number}" for number in range(6)]
    command = [sys.executable, "-m", "tests.contract.writer_process", storage.url, topic, "100", *theirs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # both write at the same time from here on
    threads = [threading.Thread(target=append, args=(log, topic, key.encode(), 100)) for key in ours]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    process.communicate(timeout=PATIENCE_SECONDS)
    reader.wait_for(900)
    for key in (*theirs, *ours):
        found = [record.value for record in reader.records if record.key == key.encode()]
        assert found == [b"%d" % number for number in range(100)]
    assert in_order(reader.records)
    assert (reader.overlaps, reader.failure, process.returncode) == (0, None, 0)


def test_appends_go_on_while_a_call_is_running_and_their_records_come_after_it(
    log: EventLog, topic: str, reader: Reader
) -> None:
    reader.open.clear()
    append(log, topic, b"k", 1, on_a_thread=True)
    assert reader.held.wait(PATIENCE_SECONDS)
    for number in range(1, 20):
        log.append(Message(topic, b"k", b"%d" % number))
    assert reader.values() == [b"0"]
    reader.open.set()
    reader.wait_for(20)
    assert reader.values() == [b"%d" % number for number in range(20)]
    assert (reader.overlaps, reader.failure) == (0, None)


def test_follow_raises_the_error_of_a_call_about_old_records(log: EventLog, topic: str) -> None:
    log.append(Message(topic, b"k", b"v"))

    def refuse(records: Sequence[Record]) -> None:
        if records:
            raise ZeroDivisionError(records[0].value)

    with log.tail(topic, ALL) as tail, pytest.raises(ZeroDivisionError, match="v"):
        follow_until(lambda: False, tail, refuse)


def test_follow_and_not_the_append_raises_the_error_of_a_call_about_an_append_of_this_process(
    log: EventLog, topic: str, reader: Reader
) -> None:
    log.append(Message(topic, b"k", b"fine"))
    reader.wait_for(1)
    reader.raises = ZeroDivisionError("not this one")
    assert log.append(Message(topic, b"k", b"refused")).offset >= 0
    until(lambda: reader.failure, "the error of the call")
    assert reader.failure is reader.raises
    assert reader.values() == [b"fine", b"refused"]


def test_no_record_comes_after_close_even_from_a_busy_log(log: EventLog, topic: str) -> None:
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            log.append(Message(topic, b"k", b"v"))

    tail = log.tail(topic, ALL)
    reader = Reader(tail)
    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    reader.wait_for(20)
    reader.stop()  # a tail belongs to one thread, and from now on to this one
    tail.close()
    count = len(reader.records)
    for _ in range(20):
        log.append(Message(topic, b"k", b"late"))
    ending.set()
    for writer in writers:
        writer.join(PATIENCE_SECONDS)
    assert len(reader.records) == count
    assert (reader.overlaps, reader.failure) == (0, None)


@pytest.mark.parametrize("was_followed", [True, False], ids=["followed", "unused"])
def test_a_closed_tail_passes_no_records_on_and_may_be_closed_again(
    log: EventLog, topic: str, was_followed: bool
) -> None:
    log.append(Message(topic, b"k", b"v"))
    found: list[Record] = []
    tail = log.tail(topic, ALL)
    if was_followed:
        follow_until(lambda: found, tail, found.extend)
    tail.close()
    tail.close()
    count = len(found)
    log.append(Message(topic, b"k", b"late"))
    with pytest.raises(LogUnavailable, match="the tail is closed"):
        tail.follow(found.extend, 0.0)
    with pytest.raises(LogUnavailable, match="the tail is closed"):
        tail.poll(0.0)
    assert len(found) == count == int(was_followed)


def test_follow_returns_when_no_record_comes(log: EventLog, topic: str) -> None:
    found: list[Record] = []
    with log.tail(topic, ALL) as tail:
        started = time.monotonic()
        tail.follow(found.extend, FOLLOW_SECONDS)
        assert time.monotonic() - started < PATIENCE_SECONDS
    assert found == []


def test_a_tail_that_was_asked_to_stop_waiting_waits_no_more_and_still_finds_what_is_there(
    log: EventLog, topic: str
) -> None:
    found: list[Record] = []
    with log.tail(topic, ALL) as tail:
        tail.stop_waiting()
        log.append(Message(topic, b"k", b"v"))
        until(lambda: found.extend(tail.poll(2 * PATIENCE_SECONDS)) or found, "the record")
        assert tail.poll(2 * PATIENCE_SECONDS) == []
    with log.tail(topic, ALL) as tail:
        tail.stop_waiting()
        until(lambda: tail.follow(found.extend, 2 * PATIENCE_SECONDS) or len(found) == 2, "the record again")
        tail.follow(found.extend, 2 * PATIENCE_SECONDS)


def test_follow_ends_when_the_log_is_closed(log: EventLog, topic: str, reader: Reader) -> None:
    log.append(Message(topic, b"k", b"v"))
    reader.wait_for(1)
    log.close()
    until(lambda: reader.failure, "the end of the log")
    assert isinstance(reader.failure, LogUnavailable)


def append(log: EventLog, topic: str, key: bytes, count: int, *, on_a_thread: bool = False) -> None:
    if on_a_thread:
        threading.Thread(target=append, args=(log, topic, key, count)).start()
        return
    for number in range(count):
        log.append(Message(topic, key, b"%d" % number))


def follow_until(holds: Callable[[], object], tail: Tail, handle: Callable[[Sequence[Record]], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "the condition never held"
        tail.follow(handle, FOLLOW_SECONDS)


def in_order(records: Sequence[Record]) -> bool:
    reached: dict[int, int] = {}
    for record in records:
        if record.offset <= reached.get(record.partition, -1):
            return False
        reached[record.partition] = record.offset
    return True
