"""The event log on Apache Kafka, through kafka-python. It uses no transactions, because the chain is the lock."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import MemberToRemove
from kafka.protocol.consumer import IsolationLevel, OffsetSpec

from headgate.log.kafka import topics as kafka_topics
from headgate.log.kafka.client import (
    REQUEST_SECONDS,
    built,
    common_settings,
    connecting,
    retried,
    translated,
)
from headgate.log.kafka.group import KafkaGroupMember
from headgate.log.kafka.reading import TAIL_FETCH_WAIT_SECONDS, KafkaTail, Pages, PartitionReader
from headgate.log.kafka.writing import KafkaWriter
from headgate.log.partitioner import partition_of
from headgate.log.port import (
    MAX_RECORD_BYTES,
    LogError,
    LogUnavailable,
    Message,
    Position,
    Record,
    RecordTooLarge,
    Topic,
    TopicState,
    UnknownTopic,
    record_bytes,
)

SESSION_SECONDS = 10.0

_NO_OFFSET = -1
_logger = logging.getLogger(__name__)


class KafkaLog:
    """Implements port.EventLog on the cluster behind `servers` (host:port each).

    `options` are those options of kafka-python that client.PASSED_OPTIONS lists: how to reach and trust the brokers.
    `session_seconds` is how long a member of a group keeps its partitions without a heartbeat.
    Raises LogError for a wrong option and LogUnavailable when no broker answers within BOOTSTRAP_SECONDS.
    """

    def __init__(
        self, servers: Sequence[str], options: Mapping[str, object], session_seconds: float = SESSION_SECONDS
    ) -> None:
        self._settings = common_settings(servers, options)
        self._session_seconds = session_seconds
        self._partitions: dict[str, int] = {}
        self._closed = False
        with connecting(servers):
            self._admin = built(KafkaAdminClient, self._settings)
            try:
                self._writer = KafkaWriter(self._settings)
            except BaseException:
                self._admin.close()
                raise
        self._pages = Pages(self._settings)

    def create_topics(self, topics: Iterable[Topic]) -> None:
        kafka_topics.create(self._admin, list(topics))

    def describe_topics(self, topics: Iterable[Topic]) -> Sequence[TopicState]:
        return kafka_topics.describe(self._admin, topics)

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        return self.append_all((message,), timeout_seconds)[0]

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        deadline = time.monotonic() + timeout_seconds
        partitions = [self._checked_partition(message) for message in messages]
        return self._writer.write(messages, partitions, deadline)

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[Record]:
        self._check_partitions(topic, (partition,))
        return self._pages.read(topic, partition, offset, limit)

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[tuple[int, bytes | None]]:
        return [(record.offset, record.value) for record in self.read(topic, partition, offset, limit)]

    def end(self, topic: str) -> Mapping[int, int]:
        return {partition: found.offset for partition, found in self._offsets(topic, OffsetSpec.LATEST).items()}

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        ends = self.end(topic)  # read first: a record that arrives in between must not be skipped
        found = self._offsets(topic, timestamp_ms)
        return {
            partition: end if found[partition].offset == _NO_OFFSET else found[partition].offset
            for partition, end in ends.items()
        }

    def tail(self, topic: str, start: Mapping[int, int]) -> KafkaTail:
        self._check_partitions(topic, start)
        return KafkaTail(PartitionReader(self._settings, topic, start, TAIL_FETCH_WAIT_SECONDS), lambda: self._closed)

    def consumer(self, topic: str, group: str, member: str) -> KafkaGroupMember:
        self._known(topic)
        return KafkaGroupMember(
            self._settings, topic, _group_id(topic, group), member, self._session_seconds, self._remove_member
        )

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        self._known(topic)
        group_id = _group_id(topic, group)
        found = retried(f"the offsets of {group_id}", lambda: self._admin.list_group_offsets(group_id)[group_id])
        return {
            partition.partition: committed.offset
            for partition, committed in found.items()
            if partition.topic == topic and committed.offset >= 0
        }

    def close(self) -> None:
        """Sends the records that wait. Tails and consumers of this log fail from then on."""
        if self._closed:
            return
        self._closed = True
        self._pages.close()
        self._writer.close()
        self._admin.close()

    def _checked_partition(self, message: Message) -> int:
        size_bytes = record_bytes(message)
        partitions = self._known(message.topic)
        if size_bytes > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"a record for {message.topic} has {size_bytes} bytes: at most {MAX_RECORD_BYTES} are allowed"
            )
        return partition_of(message.key, partitions)

    def _known(self, topic: str) -> int:
        """The number of partitions of the topic. It never changes, so it is looked up once."""
        if self._closed:
            raise LogUnavailable("the log is closed")
        partitions = self._partitions.get(topic)
        if partitions is None:
            partitions = retried(f"looking up {topic}", lambda: kafka_topics.partitions_of(self._admin, topic))
            if not partitions:
                raise UnknownTopic(f"the topic {topic} does not exist")
            self._partitions[topic] = partitions
        return partitions

    def _check_partitions(self, topic: str, partitions: Iterable[int]) -> None:
        known = self._known(topic)
        for partition in partitions:
            if not 0 <= partition < known:
                raise UnknownTopic(f"{topic} has no partition {partition}")

    def _offsets(self, topic: str, spec: int) -> dict[int, Any]:
        partitions = range(self._known(topic))
        wanted = {TopicPartition(topic, partition): spec for partition in partitions}
        found = retried(
            f"the offsets of {topic}",
            lambda: self._admin.list_partition_offsets(
                wanted, IsolationLevel.READ_COMMITTED, int(REQUEST_SECONDS * 1000)
            ),
        )
        return {partition.partition: offset for partition, offset in found.items()}

    def _remove_member(self, group_id: str, member: MemberToRemove) -> None:
        """Tries once. If it fails, the group drops the member when its session ends."""
        try:
            with translated(f"leaving {group_id}"):
                self._admin.remove_group_members(group_id, [member])
        except LogError as error:
            _logger.warning("%s", error)


def _group_id(topic: str, group: str) -> str:
    """A group id with the topic in it. Kafka would otherwise fence a member that reads two topics under one name."""
    return f"{group}.{topic}"
