"""What every event log does. The same tests run on SQLite and on Kafka."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from headgate.log.partitioner import partition_of
from headgate.log.port import (
    MAX_RECORD_BYTES,
    PARTITIONS,
    Consumer,
    EventLog,
    LogError,
    LogUnavailable,
    Message,
    Position,
    Record,
    RecordTooLarge,
    StaleMember,
    Tail,
    Topic,
    TopicMismatch,
    UnknownTopic,
    record_bytes,
)
from tests.contract.conftest import Storage
from tests.waiting import PATIENCE_SECONDS, until

"""No test waits for a fixed time. A test fails when it has waited this long for an event."""

KEYS = [next(f"{n}".encode() for n in range(9999) if partition_of(f"{n}".encode(), PARTITIONS) == p) for p in range(12)]
"""One key per partition."""


# Appending


def test_an_appended_record_is_read_back_unchanged(log: EventLog, topic: str) -> None:
    before_ms = time.time_ns() // 1_000_000
    at = log.append(Message(topic, b"models/fraud", b"\x00\xffvalue", (("ce_id", b"1"),)))
    (record,) = log.read(topic, at.partition, at.offset)
    assert (record.topic, record.partition, record.offset) == (at.topic, at.partition, at.offset)
    assert (record.key, record.value, record.headers) == (b"models/fraud", b"\x00\xffvalue", (("ce_id", b"1"),))
    assert before_ms <= record.timestamp_ms <= time.time_ns() // 1_000_000
    assert at.timestamp_ms == record.timestamp_ms


def test_records_of_one_key_are_in_one_partition_in_the_order_of_their_appends(log: EventLog, topic: str) -> None:
    positions = [log.append(Message(topic, b"models/fraud", b"%d" % number)) for number in range(50)]
    assert {at.partition for at in positions} == {partition_of(b"models/fraud", PARTITIONS)}
    assert [at.offset for at in positions] == sorted({at.offset for at in positions})
    records = everything(log, topic, positions[0].partition)
    assert [record.value for record in records] == [b"%d" % number for number in range(50)]


def test_every_log_puts_a_key_into_the_partition_that_the_partitioner_names(log: EventLog, topic: str) -> None:
    keys = [uuid.UUID(int=number * 7919).hex.encode()[: number % 33] for number in range(40)]
    for at, key in zip(log.append_all([Message(topic, key, b"") for key in keys]), keys, strict=True):
        assert at.partition == partition_of(key, PARTITIONS)


def test_a_batch_keeps_its_order_within_every_partition(log: EventLog, topic: str) -> None:
    messages = [Message(topic, KEYS[number % 12], b"%d" % number) for number in range(600)]
    positions = log.append_all(messages)
    assert len(set(positions)) == 600
    for partition in range(PARTITIONS):
        found = [int(record.value or b"") for record in everything(log, topic, partition)]
        assert found == list(range(partition, 600, PARTITIONS))


def test_an_empty_batch_appends_nothing(log: EventLog, topic: str) -> None:
    assert log.append_all([]) == []
    assert set(log.end(topic).values()) == {0}


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("a", b""),),
        (("", b"empty name"),),
        (("twice", b"1"), ("once", b"x"), ("twice", b"2"), ("twice", b"1")),
        (("z", b"\x00\xff\r\n"), ("a", bytes(range(256))), ("größe", "größe".encode())),
        tuple((f"h{number}", b"%d" % number * (number % 7)) for number in range(300)),
    ],
    ids=["none", "empty value", "empty name", "duplicates", "any bytes", "many"],
)
def test_headers_keep_order_duplicates_and_every_byte(
    log: EventLog, topic: str, headers: tuple[tuple[str, bytes], ...]
) -> None:
    at = log.append(Message(topic, b"k", b"v", headers))
    (record,) = log.read(topic, at.partition, at.offset)
    assert record.headers == headers


def test_no_value_and_an_empty_value_stay_different(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, b"k", None), Message(topic, b"k", b"")])
    assert [record.value for record in everything(log, topic, partition_of(b"k", PARTITIONS))] == [None, b""]


def test_an_empty_key_is_a_key(log: EventLog, topic: str) -> None:
    at = log.append(Message(topic, b"", b"v"))
    assert at.partition == partition_of(b"", PARTITIONS)
    assert log.read(topic, at.partition, at.offset)[0].key == b""


def test_a_record_of_the_largest_size_is_accepted(log: EventLog, topic: str) -> None:
    headers = (("name", os.urandom(500)),)
    largest = Message(topic, b"key", os.urandom(MAX_RECORD_BYTES - 507), headers)
    assert record_bytes(largest) == MAX_RECORD_BYTES
    at = log.append(largest)
    (record,) = log.read(topic, at.partition, at.offset)
    assert (record.value, record.headers) == (largest.value, headers)


def test_a_record_larger_by_one_byte_is_refused_and_not_written(log: EventLog, topic: str) -> None:
    with pytest.raises(RecordTooLarge):
        log.append(Message(topic, b"key", bytes(MAX_RECORD_BYTES - 2)))
    with pytest.raises(RecordTooLarge):
        log.append_all([Message(topic, b"key", bytes(MAX_RECORD_BYTES))])
    assert set(log.end(topic).values()) == {0}


# Topics


def test_using_a_topic_never_creates_it(log: EventLog) -> None:
    name = f"test.absent.{uuid.uuid4().hex}"
    uses: list[Callable[[], object]] = [
        lambda: log.append(Message(name, b"k", b"v")),
        lambda: log.append_all([Message(name, b"k", b"v")]),
        lambda: log.read(name, 0, 0),
        lambda: log.end(name),
        lambda: log.offsets_at(name, 0),
        lambda: log.tail(name, {0: 0}),
        lambda: log.consumer(name, "group", "member"),
        lambda: log.committed(name, "group"),
    ]
    for use in uses:
        with pytest.raises(UnknownTopic):
            use()
    log.create_topics([Topic(name, -1, 1)])
    assert log.end(name) == {0: 0}


def test_a_partition_that_the_topic_does_not_have_is_refused(log: EventLog, topic: str) -> None:
    with pytest.raises(UnknownTopic):
        log.read(topic, PARTITIONS, 0)
    with pytest.raises(UnknownTopic):
        log.tail(topic, {-1: 0})


def test_creating_topics_again_changes_nothing(log: EventLog) -> None:
    topics = [Topic(f"test.{uuid.uuid4().hex}", retention_ms, 3) for retention_ms in (-1, 86_400_000)]
    log.create_topics(topics)
    at = log.append(Message(topics[0].name, b"k", b"v"))
    log.create_topics(topics)
    assert log.read(at.topic, at.partition, at.offset)[0].value == b"v"
    assert set(log.end(topics[1].name)) == {0, 1, 2}


@pytest.mark.parametrize("other", [Topic("", -1, 4), Topic("", 1000, 3)], ids=["partitions", "retention"])
def test_a_topic_with_other_settings_than_declared_is_refused(log: EventLog, other: Topic) -> None:
    name = f"test.{uuid.uuid4().hex}"
    log.create_topics([Topic(name, -1, 3)])
    with pytest.raises(TopicMismatch):
        log.create_topics([Topic(name, other.retention_ms, other.partitions)])
    assert set(log.end(name)) == {0, 1, 2}


# Reading


def test_a_page_starts_at_the_offset_and_ends_at_the_limit(log: EventLog, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    positions = log.append_all([Message(topic, b"k", b"%d" % number) for number in range(30)])
    page = log.read(topic, 0, positions[10].offset, limit=5)
    assert [record.value for record in page] == [b"10", b"11", b"12", b"13", b"14"]
    assert [record.value for record in log.read(topic, 0, positions[28].offset, limit=5)] == [b"28", b"29"]
    again = log.read(topic, 0, positions[0].offset, limit=2)
    assert [record.value for record in again] == [b"0", b"1"]


def test_values_have_the_offsets_and_values_of_the_records(log: EventLog, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    written = [b"0", None, b"", b"3"]
    at = [log.append(Message(topic, b"k", value, (("h", b"v"),))).offset for value in written]
    assert list(log.values(topic, 0, at[0])) == list(zip(at, written, strict=True))
    assert list(log.values(topic, 0, at[1], limit=2)) == [(at[1], None), (at[2], b"")]
    assert list(log.values(topic, 0, at[3] + 1)) == []


def test_a_read_at_the_end_returns_no_records_at_once(log: EventLog, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    assert log.read(topic, 0, 0) == []
    at = log.append(Message(topic, b"k", b"v"))
    assert log.read(topic, 0, at.offset + 1) == []
    for _ in range(5):
        assert log.read(topic, 0, at.offset + 1000) == []
    assert log.read(topic, 0, 0)[0].value == b"v"


def test_a_replay_of_many_pages_yields_every_record_once(log: EventLog, new_topic: Callable[..., str]) -> None:
    topic = new_topic(1)
    log.append_all([Message(topic, b"k", b"%d" % number, (("n", b"%d" % number),)) for number in range(5000)])
    records = everything(log, topic, 0)
    assert [record.value for record in records] == [b"%d" % number for number in range(5000)]
    assert [record.headers[0][1] for record in records] == [record.value for record in records]


def test_the_end_of_a_partition_is_the_offset_after_its_last_record(log: EventLog, topic: str) -> None:
    assert log.end(topic) == dict.fromkeys(range(PARTITIONS), 0)
    at = log.append_all([Message(topic, KEYS[4], b"a"), Message(topic, KEYS[4], b"b")])[-1]
    assert log.end(topic) == {partition: at.offset + 1 if partition == 4 else 0 for partition in range(PARTITIONS)}


def test_a_time_leads_to_the_first_record_at_or_after_it(log: EventLog, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    last: list[Record] = []
    while len({record.timestamp_ms for record in last}) < 20:
        at = log.append(Message(topic, b"k", b"v"))
        last = everything(log, topic, at.partition)
    for wanted_ms in (last[0].timestamp_ms, last[len(last) // 2].timestamp_ms, last[-1].timestamp_ms):
        expected = next(record.offset for record in last if record.timestamp_ms >= wanted_ms)
        assert log.offsets_at(topic, wanted_ms)[at.partition] == expected
    assert log.offsets_at(topic, last[-1].timestamp_ms + 1)[at.partition] == last[-1].offset + 1
    assert log.offsets_at(topic, 0) == {at.partition: last[0].offset, 1 - at.partition: 0}


# Tails


def test_a_tail_returns_old_records_and_then_new_ones(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, key, b"old") for key in KEYS])
    with log.tail(topic, dict.fromkeys(range(PARTITIONS), 0)) as tail:
        assert values(gather(tail, 12)) == Counter({b"old": 12})
        log.append_all([Message(topic, key, b"new") for key in KEYS])
        assert values(gather(tail, 12)) == Counter({b"new": 12})
        assert tail.poll(0.0) == []


def test_a_tail_reads_only_the_given_partitions_from_the_given_offsets(log: EventLog, topic: str) -> None:
    positions = log.append_all([Message(topic, key, number) for number in (b"1", b"2") for key in KEYS])
    second = positions[12 + 3]
    with log.tail(topic, {3: second.offset, 5: 0}) as tail:
        found = gather(tail, 3)
        assert sorted((record.partition, record.value) for record in found) == [(3, b"2"), (5, b"1"), (5, b"2")]
        log.append_all([Message(topic, KEYS[4], b"other"), Message(topic, KEYS[5], b"3")])
        assert values(gather(tail, 1)) == Counter({b"3": 1})


def test_an_append_of_another_log_wakes_a_waiting_tail(storage: Storage, log: EventLog, topic: str) -> None:
    other = storage.open()
    with log.tail(topic, dict.fromkeys(range(PARTITIONS), 0)) as tail:
        found: list[Record] = []
        waiting = threading.Thread(target=lambda: found.extend(gather(tail, 1)))
        waiting.start()
        other.append(Message(topic, b"k", b"v"))
        waiting.join(PATIENCE_SECONDS)
        assert values(found) == Counter({b"v": 1})


def test_a_poll_of_a_tail_ends_at_its_timeout(log: EventLog, topic: str) -> None:
    with log.tail(topic, {0: 0}) as tail:
        started = time.monotonic()
        assert tail.poll(0.2) == []
        assert 0.15 < time.monotonic() - started < PATIENCE_SECONDS


def test_a_long_partition_does_not_keep_a_tail_from_the_others(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, KEYS[0], b"long")] * 5000 + [Message(topic, KEYS[1], b"short")])
    with log.tail(topic, {0: 0, 1: 0}) as tail:
        found = gather(tail, 5001)
    assert values(found) == Counter({b"long": 5000, b"short": 1})
    assert in_order(found)


# Groups


def test_a_new_group_starts_at_the_earliest_record(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, key, b"old") for key in KEYS])
    assert log.committed(topic, "group") == {}
    with log.consumer(topic, "group", "a") as consumer:
        assert len(gather(consumer, 12)) == 12
        log.append(Message(topic, KEYS[0], b"new"))
        assert values(gather(consumer, 1)) == Counter({b"new": 1})


def test_a_group_continues_after_the_last_commit(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, KEYS[0], b"%d" % number) for number in range(10)])
    with log.consumer(topic, "group", "a") as consumer:
        found = gather(consumer, 10)
        consumer.commit(found[:4])
    assert log.committed(topic, "group") == {0: found[3].offset + 1}
    with log.consumer(topic, "group", "a") as consumer:
        assert [record.value for record in gather(consumer, 6)] == [b"%d" % number for number in range(4, 10)]
    with log.consumer(topic, "other group", "a") as consumer:
        assert len(gather(consumer, 10)) == 10


def test_a_commit_never_moves_a_group_back(log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, KEYS[0], b"%d" % number) for number in range(3)])
    with log.consumer(topic, "group", "a") as consumer:
        found = gather(consumer, 3)
        consumer.commit(found)
        consumer.commit(found[:1])
        consumer.commit([])
    assert log.committed(topic, "group") == {0: found[-1].offset + 1}


def test_two_members_share_all_partitions_without_overlap(storage: Storage, log: EventLog, topic: str) -> None:
    with member(log, topic, "group", "a") as first, member(storage.open(), topic, "group", "b") as second:
        for _ in rounds():
            sent = append_a_round(log, topic)
            until(lambda sent=sent: first.got(sent) | second.got(sent) == sent)  # type: ignore[misc]
            shares = first.got(sent), second.got(sent)
            if not shares[0] & shares[1] and {len(share) for share in shares} == {6}:
                break


def test_the_others_get_the_partitions_of_a_member_that_left(storage: Storage, log: EventLog, topic: str) -> None:
    with member(log, topic, "group", "a") as first:
        with member(storage.open(), topic, "group", "b") as second:
            for _ in rounds():
                sent = append_a_round(log, topic)
                until(lambda sent=sent: first.got(sent) | second.got(sent) == sent)  # type: ignore[misc]
                if second.got(sent):
                    break
        sent = append_a_round(log, topic)
        until(lambda: first.got(sent) == sent)


def test_a_killed_member_is_replaced_and_its_uncommitted_records_come_again(
    storage: Storage, log: EventLog, topic: str
) -> None:
    log.append_all([Message(topic, key, b"%d" % number) for number, key in enumerate(KEYS)])
    victim = run("tests.contract.member_process", storage.url, topic, "group", "victim")
    delivered = {victim.stdout.readline().strip() for _ in KEYS}  # type: ignore[union-attr]
    assert delivered == {str(number) for number in range(12)}
    victim.kill()
    victim.communicate()
    with log.consumer(topic, "group", "heir") as heir:
        found = gather(heir, 12)
        heir.commit(found)
    assert values(found) == Counter({b"%d" % number: 1 for number in range(12)})


def test_a_consumer_that_was_asked_to_stop_waiting_waits_no_more(log: EventLog, topic: str) -> None:
    with log.consumer(topic, "group", "member") as consumer:
        log.append(Message(topic, b"k", b"v"))
        gather(consumer, 1)
        consumer.stop_waiting()
        assert consumer.poll(2 * PATIENCE_SECONDS) == []


def test_a_member_that_restarts_under_its_name_gets_its_partitions_at_once(
    storage: Storage, log: EventLog, topic: str
) -> None:
    log.append(Message(topic, b"k", b"v"))
    victim = run("tests.contract.member_process", storage.url, topic, "group", "worker-0")
    assert victim.stdout.readline().strip() == "v"  # type: ignore[union-attr]
    victim.kill()
    victim.communicate()
    with log.consumer(topic, "group", "worker-0") as consumer:
        assert values(gather(consumer, 1)) == Counter({b"v": 1})


def test_a_member_whose_name_another_process_took_can_neither_commit_nor_read(
    storage: Storage, log: EventLog, topic: str
) -> None:
    log.append(Message(topic, b"k", b"v"))
    zombie = log.consumer(topic, "group", "a")
    found = gather(zombie, 1)
    with storage.open().consumer(topic, "group", "a") as heir:
        again = gather(heir, 1)
        with pytest.raises(StaleMember):
            zombie.commit(found)
        with pytest.raises(StaleMember):
            gather(zombie, 1)
        zombie.close()
        heir.commit(again)
    assert set(log.committed(topic, "group")) == {found[0].partition}


def test_a_commit_for_a_partition_of_another_member_is_refused(storage: Storage, log: EventLog, topic: str) -> None:
    log.append_all([Message(topic, key, b"v") for key in KEYS])
    with log.consumer(topic, "group", "a") as first:
        found = gather(first, 12)
        with member(storage.open(), topic, "group", "b") as second:
            until(lambda: first.poll(0.05) is not None and len(second.records) >= 6)
            lost = {record.partition for record in second.records}
            with pytest.raises(StaleMember):
                first.commit([record for record in found if record.partition in lost])
            first.commit([record for record in found if record.partition not in lost])


# Concurrency and crashes


def test_records_of_concurrent_threads_are_complete_and_in_order(log: EventLog, topic: str) -> None:
    def append(key: bytes) -> None:
        for number in range(100):
            log.append(Message(topic, key, b"%d" % number))

    threads = [threading.Thread(target=append, args=(b"writer-%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert written_by(log, topic, b"writer-%d" % number) == list(range(100))


def test_records_of_concurrent_processes_are_complete_and_in_order(storage: Storage, log: EventLog, topic: str) -> None:
    keys = ["a-0", "a-1"], ["b-0", "b-1"]
    processes = [run("tests.contract.writer_process", storage.url, topic, "100", *some) for some in keys]
    acknowledged = "".join(process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes).splitlines()
    assert [process.returncode for process in processes] == [0, 0]
    assert len({tuple(line.split()[2:]) for line in acknowledged}) == 400
    for key in (*keys[0], *keys[1]):
        assert written_by(log, topic, key.encode()) == list(range(100))


def test_after_kill_9_every_acknowledged_record_is_in_the_log_once_and_in_order(
    storage: Storage, log: EventLog, topic: str
) -> None:
    keys = ["w-0", "w-1", "w-2", "w-3"]
    process = run("tests.contract.writer_process", storage.url, topic, "1000000", *keys)
    lines = [process.stdout.readline() for _ in range(400)]  # type: ignore[union-attr]
    process.kill()
    lines += process.communicate()[0].splitlines(keepends=True)
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    for key in keys:
        mine = [(int(number), int(offset)) for name, number, _, offset in acknowledged if name == key]
        assert mine[-1][0] >= 1
        until(lambda key=key, mine=mine: len(written_by(log, topic, key.encode())) >= len(mine))  # type: ignore[misc]
        found = written_by(log, topic, key.encode())
        assert found == list(range(len(found)))
        assert len(mine) <= len(found) <= len(mine) + 1  # the record in flight may or may not be in the log
        at = {int(record.value or b""): record.offset for record in records_of(log, topic, key.encode())}
        assert all(at[number] == offset for number, offset in mine)
    assert log.append(Message(topic, b"after", b"v")).offset >= 0


def test_a_reopened_log_continues_where_it_ended(storage: Storage, log: EventLog, topic: str) -> None:
    at = log.append(Message(topic, b"k", b"1"))
    log.close()
    other = storage.open()
    after = other.append(Message(topic, b"k", b"2"))
    assert (after.partition, after.offset > at.offset) == (at.partition, True)
    assert [record.value for record in other.read(topic, at.partition, at.offset)] == [b"1", b"2"]


def test_a_closed_log_refuses_calls(log: EventLog, topic: str) -> None:
    log.close()
    log.close()
    with pytest.raises(LogUnavailable):
        log.append(Message(topic, b"k", b"v"))
    with pytest.raises(LogUnavailable):
        log.read(topic, 0, 0)


# The vocabulary of these tests


class MemberThread:
    """A member of a group that polls and commits on its own thread and keeps its records."""

    def __init__(self, consumer: Consumer) -> None:
        self.records: list[Record] = []
        self._consumer = consumer
        self._stopped = threading.Event()
        self._failure: LogError | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def got(self, positions: set[Position]) -> set[Position]:
        assert self._failure is None
        return positions & {Position(record.topic, record.partition, record.offset) for record in list(self.records)}

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE_SECONDS)

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                records = self._consumer.poll(0.05)
                self.records += records
                try:
                    self._consumer.commit(records)
                except StaleMember:
                    continue  # after a rebalance the records come again, here or at another member
            self._consumer.close()
        except LogError as failure:
            self._failure = failure


@contextmanager
def member(log: EventLog, topic: str, group: str, name: str) -> Iterator[MemberThread]:
    thread = MemberThread(log.consumer(topic, group, name))
    try:
        yield thread
    finally:
        thread.stop()


def append_a_round(log: EventLog, topic: str) -> set[Position]:
    return set(log.append_all([Message(topic, key, b"round") for key in KEYS]))


def rounds() -> Iterator[None]:
    """Yields until the test is satisfied or time is up: a group needs a moment until every member has its share."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield
    pytest.fail("the group never settled")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition never held"
        pause.wait(0.005)


def gather(source: Tail | Consumer, count: int) -> list[Record]:
    """Polls until there are `count` records."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found += source.poll(0.5)
    assert len(found) == count
    return found


def everything(log: EventLog, topic: str, partition: int) -> list[Record]:
    found: list[Record] = []
    while page := log.read(topic, partition, found[-1].offset + 1 if found else 0):
        found += page
    assert in_order(found)
    return found


def records_of(log: EventLog, topic: str, key: bytes) -> list[Record]:
    return [record for record in everything(log, topic, partition_of(key, PARTITIONS)) if record.key == key]


def written_by(log: EventLog, topic: str, key: bytes) -> list[int]:
    return [int(record.value or b"") for record in records_of(log, topic, key)]


def in_order(records: Sequence[Record]) -> bool:
    reached: dict[int, int] = {}
    for record in records:
        if record.offset <= reached.get(record.partition, -1):
            return False
        reached[record.partition] = record.offset
    return True


def values(records: Sequence[Record]) -> Counter[bytes | None]:
    return Counter(record.value for record in records)


def run(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
