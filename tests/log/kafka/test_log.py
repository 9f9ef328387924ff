"""The Kafka log alone: absent and failing brokers, topics and records of other programs, options."""

import importlib.util
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.replay import fold_all
from headgate.log import topics
from headgate.log.kafka import client as kafka_client
from headgate.log.kafka import reading as kafka_reading
from headgate.log.kafka.log import KafkaLog
from headgate.log.kafka.reading import PartitionReader
from headgate.log.kafka.workarounds.header_names import RawName
from headgate.log.port import (
    Consumer,
    LogError,
    LogUnavailable,
    Message,
    OutcomeUnknown,
    Position,
    Record,
    RecordsLost,
    RecordTooLarge,
    Tail,
    Topic,
    TopicMismatch,
)
from tests.kafka_admin import members_of
from tests.kafka_broker import KafkaBroker
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(kafka_broker: str) -> Iterator[KafkaLog]:
    log = KafkaLog([kafka_broker], {})
    yield log
    log.close()


@pytest.fixture
def topic(log: KafkaLog) -> str:
    name = f"test.{uuid.uuid4().hex}"
    log.create_topics([Topic(name, -1, 1)])
    return name


def test_an_absent_broker_is_reported_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    threads = threading.active_count()
    with pytest.raises(LogUnavailable):
        KafkaLog([f"127.0.0.1:{port}"], {})
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    assert threading.active_count() <= threads


def test_repeated_reads_from_an_absent_broker_leave_no_thread_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_SECONDS", 0.2)
    threads = threading.active_count()
    reader = PartitionReader(kafka_client.common_settings(["127.0.0.1:1"], {}), "headgate.lifecycle", {0: 0}, 0.1)
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            reader.poll(0.1)
    assert threading.active_count() <= threads


def test_an_unknown_option_is_refused_before_any_connection() -> None:
    for option in ("value_deserializer", "isolation_level", "enable_auto_commit", "acks"):
        with pytest.raises(LogError, match=f"{option} is not an option"):
            KafkaLog(["127.0.0.1:1"], {option: "x"})


def test_a_missing_checksum_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LogError, match="crc32c"):
        KafkaLog(["127.0.0.1:1"], {})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n")
    settings = kafka_client.common_settings(
        ["b:1"], {"sasl_plain_password_file": f"{tmp_path}/password", "ssl_check_hostname": "false"}
    )
    assert (settings["sasl_plain_password"], settings["ssl_check_hostname"]) == ("geheim", False)


def test_a_topic_that_compacts_or_keeps_the_times_of_writers_is_refused(kafka_broker: str, log: KafkaLog) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    for config in ({"cleanup.policy": "compact"}, {"message.timestamp.type": "CreateTime"}):
        name = f"test.{uuid.uuid4().hex}"
        kept_for_ever = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "2097152"}
        admin.create_topics(
            {name: {"num_partitions": 1, "configs": {**kept_for_ever, **config}}}, wait_for_metadata=True
        )
        with pytest.raises(TopicMismatch, match=next(iter(config))):
            log.create_topics([Topic(name, -1, 1)])
    admin.close()


def test_a_record_without_key_and_with_an_empty_header_can_be_read(
    kafka_broker: str, log: KafkaLog, topic: str
) -> None:
    foreign = KafkaProducer(bootstrap_servers=kafka_broker)
    foreign.send(topic, value=b"v", headers=[("h", b"")]).get(timeout=PATIENCE_SECONDS)
    foreign.close()
    (record,) = log.read(topic, 0, 0)
    assert (record.key, record.value, record.headers) == (b"", b"v", (("h", b""),))


def test_a_header_name_that_is_not_utf_8_is_read_and_stops_no_reader(
    kafka_broker: str, log: KafkaLog, topic: str
) -> None:
    foreign = KafkaProducer(bootstrap_servers=kafka_broker)
    headers = [("a", b"1"), (RawName(b"\xff\xfe"), b""), (RawName(b"\xff\xfe"), b"\xff"), ("b", b"2")]
    for value in (b"before", b"bad", b"after"):
        foreign.send(topic, value, b"k", headers if value == b"bad" else [("h", b"1")]).get(10)
    foreign.close()
    names = [b"a", b"\xff\xfe", b"\xff\xfe", b"b"]
    values = [b"1", b"", b"\xff", b"2"]
    with log.consumer(topic, "group", "member") as consumer, log.tail(topic, {0: 0}) as tail:
        for found in (log.read(topic, 0, 0), read_all(tail, 3), read_all(consumer, 3)):
            assert [record.value for record in found] == [b"before", b"bad", b"after"]
            assert [(name.encode(), value) for name, value in found[1].headers] == list(zip(names, values, strict=True))


def read_all(source: Tail | Consumer, count: int) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found.extend(source.poll(0.5))
    return found


def test_aborted_transactions_are_never_seen(kafka_broker: str, log: KafkaLog, topic: str) -> None:
    foreign = KafkaProducer(bootstrap_servers=kafka_broker, transactional_id=uuid.uuid4().hex)
    foreign.init_transactions()
    for value, ends in ((b"aborted", foreign.abort_transaction), (b"kept", foreign.commit_transaction)):
        foreign.begin_transaction()
        foreign.send(topic, value=value).get(timeout=PATIENCE_SECONDS)
        ends()
    foreign.close()
    (record,) = log.read(topic, 0, 0)
    assert record.value == b"kept"
    assert log.end(topic)[0] > record.offset + 1  # the markers take offsets
    assert log.read(topic, 0, record.offset + 1) == []
    with log.tail(topic, {0: 0}) as tail:
        assert [found.value for found in gather(tail.poll, 1)] == [b"kept"]


def test_a_tail_whose_start_was_deleted_continues_at_the_first_record_left(
    kafka_broker: str, log: KafkaLog, topic: str
) -> None:
    log.append_all([Message(topic, b"k", b"%d" % number) for number in range(10)])
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    admin.delete_records({TopicPartition(topic, 0): 7})
    admin.close()
    with log.tail(topic, {0: 2}) as tail:
        assert [record.value for record in gather(tail.poll, 3)] == [b"7", b"8", b"9"]
    assert [record.value for record in log.read(topic, 0, 2)] == [b"7", b"8", b"9"]


def test_a_tail_that_starts_after_the_end_reports_lost_records(log: KafkaLog, topic: str) -> None:
    log.append(Message(topic, b"k", b"v"))
    with log.tail(topic, {0: 5}) as tail, pytest.raises(RecordsLost, match="ends at 1, before 5"):
        gather(tail.poll, 1)


def test_a_record_too_large_for_its_topic_does_not_stop_later_writes(kafka_broker: str, log: KafkaLog) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    name = f"test.{uuid.uuid4().hex}"
    admin.create_topics({name: {"num_partitions": 1, "configs": {"max.message.bytes": "1000"}}}, wait_for_metadata=True)
    admin.close()
    with pytest.raises(RecordTooLarge):
        log.append(Message(name, b"k", b"v" * 5000))
    assert log.append(Message(name, b"k", b"v")).offset == 0


def test_a_fold_notices_that_the_broker_is_unreachable(
    own_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reading, "MAX_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(kafka_reading, "READ_SECONDS", 1.0)
    log = KafkaLog([own_broker.start().address], {})
    log.create_topics(topics.TOPICS)
    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    own_broker.kill()
    until(lambda: time.monotonic() - fold.last_poll_monotonic > 2.5, "the fold to stop polling")
    fold.close()
    log.close()


def test_a_fold_reports_facts_that_were_deleted(
    kafka_broker: str, log: KafkaLog, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    monkeypatch.setattr(topics, "LIFECYCLE", topic)
    log.append_all([Message(topic, b"k", b"%d" % number) for number in range(3)])
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker)
    admin.delete_records({TopicPartition(topic, 0): 3})
    admin.close()
    with pytest.raises(RecordsLost, match="the facts from 0 were deleted"):
        fold_all(log)
    fold = LifecycleFold(log)
    fold.start()
    with pytest.raises(RecordsLost):
        fold.wait_caught_up(PATIENCE_SECONDS)
    fold.close()


def test_a_killed_broker_loses_no_acknowledged_record_and_all_clients_continue() -> None:
    with KafkaBroker() as broker:
        log = KafkaLog([broker.address], {}, session_seconds=3.0)
        log.create_topics([Topic("topic", -1, 1)])
        writer = Writer(log)
        tail, consumer = Reader(log.tail("topic", {0: 0})), Reader(log.consumer("topic", "group", "member"))
        try:
            read_on(writer, tail, consumer)
            broker.kill()
            broker.start()
            read_on(writer, tail, consumer)
        finally:
            writer.stop()
        records = [record for page in pages(log) for record in page]
        values = [int(record.value or b"") for record in records]
        assert len(set(values)) == len(values), "a record was written twice"
        assert writer.written.keys() <= set(values) <= writer.written.keys() | writer.unknown
        for record in records:
            at = writer.written.get(int(record.value or b""))
            assert at is None or at.offset == record.offset
        assert tail.records == records[: len(tail.records)]
        assert {record.offset for record in consumer.records} >= {record.offset for record in tail.records[:1]}
        tail.source.close()
        consumer.source.close()
        log.close()


class Writer:
    """A thread that appends numbers and remembers the outcome of each."""

    def __init__(self, log: KafkaLog) -> None:
        self.written: dict[int, Position] = {}
        self.unknown: set[int] = set()
        self._log = log
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._append)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE_SECONDS)

    def _append(self) -> None:
        for number in itertools.count():
            if self._stopped.is_set():
                return
            try:
                self.written[number] = self._log.append(Message("topic", b"k", b"%d" % number), timeout_seconds=2.0)
            except (OutcomeUnknown, LogUnavailable):
                self.unknown.add(number)


class Reader:
    """A tail or a consumer, and the records that it returned."""

    def __init__(self, source: Tail | Consumer) -> None:
        self.source = source
        self.records: list[Record] = []

    def poll(self) -> None:
        with suppress(LogUnavailable):
            self.records += self.source.poll(0.2)

    def is_behind(self, number: int) -> bool:
        return not self.records or int(self.records[-1].value or b"") <= number


def read_on(writer: Writer, *readers: Reader) -> None:
    """Polls until each reader has a record that was written after this call."""
    seen, deadline = max(writer.written, default=-1), time.monotonic() + PATIENCE_SECONDS
    while behind := [reader for reader in readers if reader.is_behind(seen)]:
        assert time.monotonic() < deadline, "a reader did not continue"
        for reader in behind:
            reader.poll()


def pages(log: KafkaLog) -> Iterator[Sequence[Record]]:
    offset = 0
    while page := log.read("topic", 0, offset):
        yield page
        offset = page[-1].offset + 1


def gather(poll: Callable[[float], Sequence[Record]], count: int) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found += poll(0.5)
    return found


def test_a_group_does_not_wait_for_a_member_that_left_while_joining(
    log: KafkaLog, topic: str, kafka_broker: str
) -> None:
    group = f"workers.{topic}"
    log.append(Message(topic, b"key", b"value"))
    with log.consumer(topic, "workers", "first") as first:
        until(lambda: bool(first.poll(0.1)), "the first to get its partitions")
        second = log.consumer(topic, "workers", "second")

        def has_both() -> bool:
            second.poll(0.1)
            return members_of(kafka_broker, [group]) == {group: 2}

        until(has_both, "the second to ask to join")
        second.close()  # the first does not poll, so the join request of the second has no response yet
        assert members_of(kafka_broker, [group]) == {group: 1}
