"""When a member of a Kafka group is pushed on: the rule, and what it heals at a real broker."""

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka.cluster import ClusterMetadata
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import UnknownTopicOrPartitionError

from headgate.log.kafka.log import KafkaLog
from headgate.log.kafka.workarounds import rejoining as kafka_joining
from headgate.log.kafka.workarounds.rejoining import EMPTY_REJOINS, EMPTY_SECONDS, Joining, Membership, Push
from headgate.log.partitioner import partition_of
from headgate.log.port import Consumer, Message, Position, Record, Topic
from tests.kafka_admin import members_of, remove_member
from tests.registry.waiting import until

PATIENCE_SECONDS = 20.0
FEW_JOINS = 20
"""More than two members need, who are new to a topic; those who keep each other at it make hundreds."""

SHORT_SECONDS = 0.001
"""Shorter than the broker takes to answer."""

LONG_SECONDS = 0.05
"""Longer than that."""


@pytest.fixture
def log(kafka_broker: str) -> Iterator[KafkaLog]:
    log = KafkaLog([kafka_broker], {}, session_seconds=3.0)
    yield log
    log.close()


@pytest.fixture
def topic(log: KafkaLog) -> str:
    name = f"test.{uuid.uuid4().hex}"
    log.create_topics([Topic(name, -1, 1)])
    log.append(Message(name, b"key", b"value"))
    return name


def test_a_member_that_is_joining_goes_on_until_it_has_joined() -> None:
    joining = Joining()
    for now in range(100):
        assert joining.push(Membership.JOINING, holds=now > 50, knows_topic=now > 20, now=now) is Push.JOIN


def test_a_member_that_holds_something_or_is_outside_is_left_alone() -> None:
    joining = Joining()
    for now in range(100):
        assert joining.push(Membership.JOINED, holds=True, knows_topic=False, now=now) is Push.NOTHING
        assert joining.push(Membership.OUTSIDE, holds=False, knows_topic=False, now=now) is Push.NOTHING


def test_a_member_without_partitions_asks_for_its_topic_each_second_until_it_knows_it() -> None:
    assert pushes(Joining(), knows_topic=False, seconds=5 * EMPTY_SECONDS) == [Push.ASK_FOR_THE_TOPIC] * 5


def test_a_member_that_has_nothing_because_there_is_nothing_to_have_comes_to_rest() -> None:
    joining = Joining()
    assert pushes(joining, knows_topic=True, seconds=1000 * EMPTY_SECONDS) == [Push.JOIN] * EMPTY_REJOINS
    joining.push(Membership.JOINED, holds=True, knows_topic=True, now=2000 * EMPTY_SECONDS)
    again = pushes(joining, knows_topic=True, seconds=5 * EMPTY_SECONDS, start=3000 * EMPTY_SECONDS)
    assert again == [Push.JOIN] * EMPTY_REJOINS


@pytest.mark.kafka
def test_a_leader_that_hears_of_its_topic_late_takes_its_share_though_its_polls_are_short(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, not_there_yet, also=0)
    with log.consumer(topic, "workers", "a") as member:
        assert first_record(member, SHORT_SECONDS).value == b"value"


@pytest.mark.kafka
def test_a_group_whose_leader_lost_its_question_about_the_topic_is_assigned_again(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, not_asked_for, also=2)
    with log.consumer(topic, "workers", "a") as member:
        assert first_record(member, 0.1).value == b"value"


@pytest.mark.kafka
def test_a_member_hears_the_answers_that_come_between_its_polls(
    log: KafkaLog, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kafka.coordinator")
    with log.consumer(topic, "workers", "a") as member:
        until(lambda: member.poll(SHORT_SECONDS), "its share", pause_seconds=LONG_SECONDS)
    assert joins(caplog) <= FEW_JOINS


@pytest.mark.kafka
def test_a_group_of_more_members_than_partitions_comes_to_rest_though_one_thread_polls_them(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_joining, "EMPTY_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "kafka.coordinator")

    def rests() -> bool:
        before = joins(caplog)
        for _ in range(10):
            records.extend([*first.poll(0.02), *second.poll(0.02)])
        return bool(records) and joins(caplog) == before

    records: list[Record] = []
    with log.consumer(topic, "workers", "a") as first, log.consumer(topic, "workers", "b") as second:
        until(rests, "the group to rest")
    assert joins(caplog) <= FEW_JOINS
    assert {record.value for record in records} == {b"value"}


@pytest.mark.kafka
def test_what_a_member_lost_is_shared_out_again_with_those_who_join_beside_it(log: KafkaLog, kafka_broker: str) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    log.create_topics([Topic(topic, -1, 3)])
    group = f"workers.{topic}"
    append_to_all(log, topic)
    lost, other, new = (log.consumer(topic, "workers", name) for name in ("lost", "other", "new"))

    def members_while_polled(member: Consumer) -> int:
        member.poll(0.05)
        return members_of(kafka_broker, [group])[group]

    with lost, other, new:
        first_record(lost, 0.05)
        until(lambda: [each.poll(0.05) for each in (lost, other)][1], "the other's share")
        remove_member(kafka_broker, group, "lost")
        until(lambda: members_while_polled(new) == 2, "the new one to ask, while the other has not answered")
        until(lambda: members_while_polled(lost) == 3, "the lost one to ask")
        sent, found = append_to_all(log, topic), set[Position]()
        until(lambda: found.update(read_by(lost, other, new)) or found >= sent, "every partition to be read")


def joins(caplog: pytest.LogCaptureFixture) -> int:
    return sum(message.startswith("(Re-)joining") for message in caplog.messages)


def pushes(joining: Joining, *, knows_topic: bool, seconds: float, start: float = 0.0) -> list[Push]:
    """What a member that holds nothing needs in so much time, asked ten times a second."""
    asked = [
        joining.push(Membership.JOINED, holds=False, knows_topic=knows_topic, now=start + tenth / 10)
        for tenth in range(int(seconds * 10) + 1)
    ]
    return [push for push in asked if push is not Push.NOTHING]


def hide(monkeypatch: pytest.MonkeyPatch, hidden: Callable[[Any], None], *, also: int) -> None:
    """Until the group has its first assignment, and in `also` answers more, `hidden` changes what the broker says."""
    assigned, more = threading.Event(), itertools.count()
    note, update = CooperativeStickyAssignor.on_assignment, ClusterMetadata.update_metadata

    def noting(self: CooperativeStickyAssignor, *arguments: Any) -> None:
        note(self, *arguments)
        assigned.set()

    def updating(self: ClusterMetadata, answer: Any) -> None:
        if not assigned.is_set() or next(more) < also:
            hidden(answer)
        update(self, answer)

    monkeypatch.setattr(CooperativeStickyAssignor, "on_assignment", noting)
    monkeypatch.setattr(ClusterMetadata, "update_metadata", updating)


def not_there_yet(answer: Any) -> None:
    """As of a broker that has not heard of the topics: the library asks again by itself."""
    for topic in answer.topics:
        topic.error_code = UnknownTopicOrPartitionError.errno


def not_asked_for(answer: Any) -> None:
    """As if the question had been on its way before there was a topic to ask for."""
    answer.topics = []


def append_to_all(log: KafkaLog, topic: str) -> set[Position]:
    """A record in each of the three partitions."""
    keys = {partition_of(b"%d" % number, 3): b"%d" % number for number in range(100)}
    return set(log.append_all([Message(topic, key, b"value") for key in keys.values()]))


def read_by(*members: Consumer) -> set[Position]:
    records = [record for member in members for record in member.poll(0.05)]
    return {Position(record.topic, record.partition, record.offset) for record in records}


def first_record(member: Consumer, poll_seconds: float) -> Record:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (records := member.poll(poll_seconds)):
        assert time.monotonic() < deadline, "the member never got its share"
    return records[0]
