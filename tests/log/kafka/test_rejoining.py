"""A member of a Kafka group that is stuck gets a remedy: the rule, and its effect on a real broker."""

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

from headgate.log.kafka import group as kafka_group
from headgate.log.kafka.log import KafkaLog
from headgate.log.kafka.workarounds import rejoining as kafka_joining
from headgate.log.kafka.workarounds.rejoining import EMPTY_REJOINS, EMPTY_SECONDS, Joining, Membership, Remedy
from headgate.log.partitioner import partition_of
from headgate.log.port import Consumer, Message, Position, Record, Topic
from tests.kafka_admin import members_of, remove_member
from tests.waiting import PATIENCE_SECONDS, until

FEW_JOINS = 20
"""Two new members join less often than this. Members that disturb each other join hundreds of times."""

SHORT_SECONDS = 0.001
"""Shorter than the broker takes to respond."""

LONG_SECONDS = 0.05
"""Longer than the broker takes to respond."""

STUCK_SECONDS = 3.0
"""A member without partitions for this long stays without them."""

TRIES = 10
"""On a busy machine a response may also arrive during a poll, so that a member is not stuck."""


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


def is_stuck(log: KafkaLog, topic: str, poll_seconds: float, pause_seconds: float) -> bool:
    """Whether the only member of a new group gets no partitions when it polls like this."""
    end = time.monotonic() + STUCK_SECONDS
    with log.consumer(topic, uuid.uuid4().hex, "a") as member:
        while time.monotonic() < end:
            if member.poll(poll_seconds):
                return False
            threading.Event().wait(pause_seconds)
    return True


def test_a_member_that_is_joining_continues_until_it_has_joined() -> None:
    joining = Joining()
    for now in range(100):
        assert joining.remedy(Membership.JOINING, holds=now > 50, knows_topic=now > 20, now=now) is Remedy.JOIN


def test_a_member_that_has_partitions_or_is_outside_needs_no_remedy() -> None:
    joining = Joining()
    for now in range(100):
        assert joining.remedy(Membership.JOINED, holds=True, knows_topic=False, now=now) is Remedy.NOTHING
        assert joining.remedy(Membership.OUTSIDE, holds=False, knows_topic=False, now=now) is Remedy.NOTHING


def test_a_member_without_partitions_refreshes_its_metadata_each_second_until_it_knows_its_topic() -> None:
    assert remedies(Joining(), knows_topic=False, seconds=5 * EMPTY_SECONDS) == [Remedy.REFRESH_METADATA] * 5


def test_a_member_that_rightly_has_no_partitions_joins_again_a_limited_number_of_times() -> None:
    joining = Joining()
    assert remedies(joining, knows_topic=True, seconds=1000 * EMPTY_SECONDS) == [Remedy.JOIN] * EMPTY_REJOINS
    joining.remedy(Membership.JOINED, holds=True, knows_topic=True, now=2000 * EMPTY_SECONDS)
    again = remedies(joining, knows_topic=True, seconds=5 * EMPTY_SECONDS, start=3000 * EMPTY_SECONDS)
    assert again == [Remedy.JOIN] * EMPTY_REJOINS


@pytest.mark.kafka
def test_a_leader_that_learns_of_its_topic_late_gets_its_partitions_even_with_short_polls(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_metadata(monkeypatch, without_topics, also=0)
    with log.consumer(topic, "workers", "a") as member:
        assert first_record(member, SHORT_SECONDS).value == b"value"


@pytest.mark.kafka
def test_kafka_python_still_drops_a_response_that_arrives_between_two_polls(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this test fails, the library has been mended, and before_poll can go."""
    monkeypatch.setattr(kafka_group, "before_poll", lambda consumer: None)
    assert any(is_stuck(log, topic, 0.0, LONG_SECONDS) for _ in range(TRIES))


@pytest.mark.kafka
def test_kafka_python_still_leaves_a_leader_that_did_not_know_its_topic_without_partitions(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this test fails, the library has been mended, and after_poll can go."""
    monkeypatch.setattr(kafka_group, "after_poll", lambda *_, **__: None)

    def is_stuck_at_first() -> bool:
        with monkeypatch.context() as patched:
            change_metadata(patched, from_before_the_subscription, also=2)
            return is_stuck(log, topic, LONG_SECONDS, 0.0)

    assert any(is_stuck_at_first() for _ in range(TRIES))


@pytest.mark.kafka
def test_a_group_is_assigned_again_when_its_leader_lost_the_metadata_of_the_topic(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_metadata(monkeypatch, from_before_the_subscription, also=2)
    with log.consumer(topic, "workers", "a") as member:
        assert first_record(member, 0.1).value == b"value"


@pytest.mark.kafka
def test_a_member_uses_the_responses_that_arrive_between_its_polls(
    log: KafkaLog, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kafka.coordinator")
    with log.consumer(topic, "workers", "a") as member:
        until(lambda: member.poll(SHORT_SECONDS), "its partitions", pause_seconds=LONG_SECONDS)
    assert joins(caplog) <= FEW_JOINS


@pytest.mark.kafka
def test_a_group_with_more_members_than_partitions_stops_joining_even_when_one_thread_polls_them(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_joining, "EMPTY_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "kafka.coordinator")

    def is_settled() -> bool:
        before = joins(caplog)
        for _ in range(10):
            records.extend([*first.poll(0.02), *second.poll(0.02)])
        return bool(records) and joins(caplog) == before

    records: list[Record] = []
    with log.consumer(topic, "workers", "a") as first, log.consumer(topic, "workers", "b") as second:
        until(is_settled, "the group to stop joining")
    assert joins(caplog) <= FEW_JOINS
    assert {record.value for record in records} == {b"value"}


@pytest.mark.kafka
def test_the_partitions_that_a_member_lost_are_shared_with_members_that_join_at_the_same_time(
    log: KafkaLog, kafka_broker: str
) -> None:
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
        until(lambda: [each.poll(0.05) for each in (lost, other)][1], "the other to get partitions")
        remove_member(kafka_broker, group, "lost")
        until(lambda: members_while_polled(new) == 2, "the new one to join, while the other has not responded")
        until(lambda: members_while_polled(lost) == 3, "the lost one to join")
        sent, found = append_to_all(log, topic), set[Position]()
        until(lambda: found.update(read_by(lost, other, new)) or found >= sent, "every partition to be read")


def joins(caplog: pytest.LogCaptureFixture) -> int:
    return sum(message.startswith("(Re-)joining") for message in caplog.messages)


def remedies(joining: Joining, *, knows_topic: bool, seconds: float, start: float = 0.0) -> list[Remedy]:
    """The remedies of a member without partitions within so much time, checked ten times a second."""
    found = [
        joining.remedy(Membership.JOINED, holds=False, knows_topic=knows_topic, now=start + tenth / 10)
        for tenth in range(int(seconds * 10) + 1)
    ]
    return [remedy for remedy in found if remedy is not Remedy.NOTHING]


def change_metadata(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None], *, also: int) -> None:
    """Applies `change` to the broker's metadata until the group has its first assignment, and `also` times after it."""
    assigned, more = threading.Event(), itertools.count()
    on_assignment, update_metadata = CooperativeStickyAssignor.on_assignment, ClusterMetadata.update_metadata

    def assign(self: CooperativeStickyAssignor, *arguments: Any) -> None:
        on_assignment(self, *arguments)
        assigned.set()

    def update(self: ClusterMetadata, response: Any) -> None:
        if not assigned.is_set() or next(more) < also:
            change(response)
        update_metadata(self, response)

    monkeypatch.setattr(CooperativeStickyAssignor, "on_assignment", assign)
    monkeypatch.setattr(ClusterMetadata, "update_metadata", update)


def without_topics(response: Any) -> None:
    """The broker does not know the topics yet. The library asks again by itself."""
    for topic in response.topics:
        topic.error_code = UnknownTopicOrPartitionError.errno


def from_before_the_subscription(response: Any) -> None:
    """The request was sent before the member subscribed, so it asked for no topic."""
    response.topics = []


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
        assert time.monotonic() < deadline, "the member never got its partitions"
    return records[0]
