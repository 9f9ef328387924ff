"""The fold turns the log into state. It counts and skips the records that it cannot use."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from headgate.domain.fact import Fact
from headgate.lifecycle.fold import NOT_A_LINK, Fold
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.replay import fold_all
from headgate.lifecycle.stream import Stream, message_of, new_stream, record_of
from headgate.log import topics
from headgate.log.port import EventLog, LogUnavailable, Message, Record, RecordsLost
from headgate.log.sqlite.log import SqliteLog
from headgate.log.sqlite.tail import SqliteTail
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import claimed, created, trained
from tests.waiting import PATIENCE_SECONDS, until


class Chain:
    """Writes facts of one stream, legal or not."""

    def __init__(self, name: str) -> None:
        stream = new_stream(name)
        assert stream is not None
        self.stream: Stream = stream

    def message(self, fact: Fact) -> Message:
        command = commands.Command(command_id=f"c{self.stream.sequence}", stream=self.stream.name)
        record = record_of(command, fact, self.stream, 1)
        message = message_of(record)
        self.stream.accept(record, message.value or b"", 0, 0)
        return message


def folded(*messages: Message) -> Fold:
    fold = Fold()
    for offset, message in enumerate(messages):
        fold.apply(Record(message.topic, 0, offset, 0, message.key, message.value, message.headers))
    return fold


def raw(value: bytes) -> Message:
    return Message(topics.LIFECYCLE, b"models/fraud", value)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


@pytest.mark.parametrize("value", [b"", b"\xff\xff\xff", b"hello", b"\x0a\x02\xc3\x28", b"\x00" * 100])
def test_bytes_that_are_not_a_record_are_void_and_do_not_stop_the_fold(value: bytes) -> None:
    chain = Chain("models/fraud")
    fold = folded(chain.message(created(1)), raw(value), chain.message(created(2)))
    assert (fold.revision, fold.void_records) == (2, 1)
    assert sorted(fold.models["fraud"].versions) == [1, 2]


@pytest.mark.parametrize("name", ["", "fraud", "models/", "models/a/b", "things/fraud", "models/Fraud"])
def test_a_record_without_a_stream_is_void(name: str) -> None:
    record = facts.LifecycleRecord(stream=name, sequence=1, version_created=created())
    assert folded(raw(record.SerializeToString())).void_records == 1


def test_an_illegal_fact_stops_its_stream_and_no_other() -> None:
    fraud, churn = Chain("models/fraud"), Chain("models/churn")
    fold = folded(
        fraud.message(created(1)),
        fraud.message(trained(1)),
        fraud.message(created(2)),
        churn.message(created(1)),
    )
    assert "sequence 2" in fold.streams["models/fraud"].broken
    assert sorted(fold.models["fraud"].versions) == [1]
    assert sorted(fold.models["churn"].versions) == [1]
    assert fold.void_records == 1


@pytest.mark.parametrize(
    ("name", "fact"),
    [("models/fraud", facts.PolicySet()), ("environments/production", created(1)), ("models/fraud", claimed(1))],
)
def test_a_fact_on_the_wrong_kind_of_stream_is_illegal(name: str, fact: Fact) -> None:
    assert folded(Chain(name).message(fact)).streams[name].broken


def test_a_fact_of_a_later_version_is_kept_and_skipped() -> None:
    chain = Chain("models/fraud")
    first = chain.message(created(1))
    record = record_of(commands.Command(command_id="new", stream="models/fraud"), created(9), chain.stream, 1)
    record.ClearField("version_created")
    later = record.SerializeToString() + b"\xd2\x3e\x02hi"  # field 1002, unknown today
    chain.stream.accept(record, later, 0, 0)
    fold = folded(first, raw(later), chain.message(created(2)))
    assert (fold.revision, fold.void_records) == (3, 0)
    assert sorted(fold.models["fraud"].versions) == [1, 2]


def test_a_fold_passes_accepted_records_to_its_listeners(log: EventLog) -> None:
    chain = Chain("models/fraud")
    log.append(chain.message(created(1)))
    fold = LifecycleFold(log)
    received: list[int] = []
    fold.start()
    try:
        assert fold.wait_caught_up(PATIENCE_SECONDS)
        assert fold.revision == 1
        fold.on_accepted(lambda _, record: received.append(record.sequence))
        log.append(raw(b"\xff\xff"))
        position = log.append(chain.message(created(2)))
        assert fold.wait_position(position.partition, position.offset, PATIENCE_SECONDS)
        assert fold.wait_change(1, PATIENCE_SECONDS) == 2
        assert received == [2]
        assert fold.void_records == 1
    finally:
        fold.close()
    assert sorted(fold_all(log).models["fraud"].versions) == [1, 2]


def test_a_waiter_is_woken_when_its_own_record_is_folded_or_the_fold_closes(log: EventLog) -> None:
    chain = Chain("models/fraud")
    first = log.append(chain.message(created(1)))
    fold = LifecycleFold(log)
    offsets = [first.offset, first.offset + 1, first.offset + 2]
    with ThreadPoolExecutor(len(offsets)) as pool:
        waits = [pool.submit(fold.wait_position, first.partition, offset, PATIENCE_SECONDS) for offset in offsets]
        fold.start()
        assert waits[0].result(PATIENCE_SECONDS)
        assert not waits[1].done()
        log.append(chain.message(created(2)))
        assert waits[1].result(PATIENCE_SECONDS)
        assert not waits[2].done()
        fold.close()
        assert not waits[2].result(PATIENCE_SECONDS)
    assert not fold.wait_position(first.partition, offsets[2], PATIENCE_SECONDS), "a closed fold makes no caller wait"


def test_the_fold_of_an_empty_log_is_caught_up(log: EventLog) -> None:
    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    assert not fold.wait_position(0, 0, 0.0)
    fold.close()


# A log with missing facts


def delete_records(log_file: Path, condition: str) -> None:
    with closing(sqlite3.connect(log_file)) as db:
        db.execute(f"DELETE FROM log WHERE offset {condition}")
        db.commit()


def test_a_log_without_its_first_facts_is_not_folded(log: EventLog, tmp_path: Path) -> None:
    chain = Chain("models/fraud")
    log.append_all([chain.message(created(number)) for number in (1, 2, 3)])
    delete_records(tmp_path / "log.db", "< 1")
    live = LifecycleFold(log)
    live.start()
    with pytest.raises(RecordsLost, match="begins at 1: the facts from 0 were deleted"):
        live.wait_caught_up(PATIENCE_SECONDS)
    live.close()
    with pytest.raises(RecordsLost):
        fold_all(log)


def test_a_fold_reports_a_lost_end_of_its_log_until_the_facts_are_back(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tail: SqliteTail, handle: object, timeout_seconds: float) -> None:
        raise LogUnavailable("the connection broke")

    chain = Chain("models/fraud")
    messages = [chain.message(created(number)) for number in (1, 2, 3)]
    log.append_all(messages)
    live = LifecycleFold(log)
    live.start()
    assert live.wait_caught_up(PATIENCE_SECONDS)
    with monkeypatch.context() as broken:
        broken.setattr(SqliteTail, "follow", fail)
        delete_records(tmp_path / "log.db", ">= 1")
        until(lambda: "ends at 1, before 3" in live.lost, "the fold to report missing facts")
    log.append_all(messages[1:])
    until(lambda: not live.lost, "the fold to find the facts again")
    assert live.revision == 3
    live.close()


def test_a_record_outside_the_partition_of_its_stream_is_void_for_all_folds() -> None:
    chain = Chain("models/fraud")
    first, second = chain.message(created(1)), chain.message(created(2))
    fold = folded(first)
    assert fold.apply(Record(second.topic, 1, 0, 0, second.key, second.value, second.headers)) is None
    assert fold.fault is not None
    assert fold.fault.code == NOT_A_LINK
    assert fold.apply(Record(second.topic, 0, 1, 0, second.key, second.value, second.headers)) is not None
