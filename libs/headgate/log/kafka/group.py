"""A member of a Kafka consumer group.

The library calls the rebalance listener on its own thread, which must not block. So the listener only pauses
partitions and queues the changes. The next poll or commit of the member's thread applies them.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from headgate.log.kafka.client import built, close_quietly, consumer_settings, records_of, translate
from headgate.log.kafka.workarounds.rejoining import Joining, after_poll, before_poll
from headgate.log.port import LogUnavailable, Record, StaleMember

COMMIT_SECONDS = 10.0
MAX_POLL_SECONDS = 300.0
"""A member that was not polled for so long loses its partitions, because its handler hangs."""

_REBALANCE_STEP_MS = 50
_LOST = (CommitFailedError, IllegalGenerationError, UnknownMemberIdError)
_logger = logging.getLogger(__name__)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    """Queues the changes of a rebalance. Its methods run on the library's thread."""

    def __init__(self, consumer: KafkaConsumer, assignor: CooperativeStickyAssignor) -> None:
        self._consumer, self._assignor = consumer, assignor
        self.pausing = False
        self.changes: deque[tuple[bool, frozenset[TopicPartition]]] = deque()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self.pausing:
            self._consumer.pause(*assigned)
        self.changes.append((True, frozenset(assigned)))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.changes.append((False, frozenset(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        # Otherwise the member would claim these partitions when it joins again, and other members would not get theirs.
        self._assignor.member_assignment = None
        self.on_partitions_revoked(lost)


class KafkaGroupMember:
    """Implements port.Consumer. `remove_member` removes a static member from its group."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        topic: str,
        group: str,
        member: str,
        session_seconds: float,
        remove_member: Callable[[str, MemberToRemove], None],
    ) -> None:
        self._settings = {
            **settings,
            **consumer_settings(),
            "group_id": group,
            "group_instance_id": member,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": int(session_seconds * 1000),
            "heartbeat_interval_ms": int(session_seconds * 1000 / 10),
            "max_poll_interval_ms": int(MAX_POLL_SECONDS * 1000),
        }
        self._topic, self._group, self._member = topic, group, member
        self._waits = True
        self._remove_member = remove_member
        self._consumer: KafkaConsumer | None = None
        self._listener: _Listener | None = None
        self._joining = Joining()
        self._held: dict[TopicPartition, int] = {}
        """For each assigned partition, the first offset delivered since it was assigned; -1 before that."""
        self._done: dict[TopicPartition, int] = {}
        self._may_be_member = False
        """Whether the group may contain this member. True from the first poll on."""
        self._fenced = False
        self._closed = False

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        self._check_usable()
        try:
            consumer = self._consumer or self._build()
            self._apply_changes()
            if self._listener:
                self._listener.pausing = False
            consumer.resume(*consumer.paused())
            self._may_be_member = True
            fetched = self._step(consumer, int(timeout_seconds * 1000) if self._waits else 0)
        except FencedInstanceIdError as error:
            raise self._fence(error) from error
        except Exception as error:
            # After any error, even one of the library itself, the state of the consumer is unknown.
            self._drop()
            raise translate(f"polling {self._topic} as {self._member} of {self._group}", error) from error
        for partition, records in fetched.items():
            if self._held.get(partition) == -1:
                self._held[partition] = records[0].offset
        return records_of({partition: records for partition, records in fetched.items() if partition in self._held})

    def stop_waiting(self) -> None:
        self._waits = False

    def commit(self, records: Iterable[Record]) -> None:
        self._check_usable()
        self._apply_changes()
        done: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            done[partition] = max(done.get(partition, 0), record.offset + 1)
        deadline = time.monotonic() + COMMIT_SECONDS
        while not self._committed(done):
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{self._group} was rebalancing for {COMMIT_SECONDS:g} s; nothing was committed")
        self._done.update(done)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        identity = consumer.group_metadata()
        close_quietly(consumer)
        if self._may_be_member and not self._fenced:
            # A static member stays in its group until it is removed. With both ids given, the broker does not remove a
            # newer member of the same name. A member that is still joining has no id yet; it is removed too, because
            # otherwise the group would wait for it.
            self._remove_member(self._group, MemberToRemove(identity.member_id, self._member, "closed"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _build(self) -> KafkaConsumer:
        assignor = CooperativeStickyAssignor()
        consumer = built(KafkaConsumer, {**self._settings, "partition_assignment_strategy": [assignor]})
        self._listener = _Listener(consumer, assignor)
        consumer.subscribe([self._topic], listener=self._listener)
        self._consumer, self._joining = consumer, Joining()
        return consumer

    def _drop(self) -> None:
        """Closes the consumer. The next poll builds a new one, which continues after the last commit."""
        consumer, self._consumer = self._consumer, None
        self._held.clear()
        self._done.clear()
        close_quietly(consumer)

    def _apply_changes(self) -> None:
        while self._listener and self._listener.changes:
            assigned, partitions = self._listener.changes.popleft()
            for partition in partitions:
                self._done.pop(partition, None)
                if assigned:
                    self._held[partition] = -1
                else:
                    self._held.pop(partition, None)

    def _committed(self, done: dict[TopicPartition, int]) -> bool:
        """Commits and returns True. If the group rebalances, advances the rebalance and returns False."""
        for partition, reached in done.items():
            if not 0 <= self._held.get(partition, -1) < reached:
                raise StaleMember(
                    f"partition {partition.partition} is no longer held by {self._member} of {self._group}"
                )
        ahead = {
            partition: OffsetAndMetadata(reached, "", -1)
            for partition, reached in done.items()
            if reached > self._done.get(partition, 0)
        }
        if not ahead:
            return True
        assert self._consumer is not None, "a held partition has a consumer"
        try:
            self._consumer.commit(ahead, timeout_ms=int(COMMIT_SECONDS * 1000))
            return True
        except RebalanceInProgressError:
            self._rebalance(self._consumer)
            return False
        except FencedInstanceIdError as error:
            raise self._fence(error) from error
        except _LOST as error:
            raise StaleMember(f"{self._member} is no longer a member of {self._group}: {error}") from error
        except Exception as error:
            self._drop()
            raise translate(f"committing {self._topic} as {self._member} of {self._group}", error) from error

    def _rebalance(self, consumer: KafkaConsumer) -> None:
        """Only a poll advances a rebalance. All partitions are paused for it: its records would be lost."""
        assert self._listener is not None, "a consumer has a listener"
        self._listener.pausing = True
        try:
            consumer.pause(*consumer.assignment())
            self._step(consumer, _REBALANCE_STEP_MS)
        except FencedInstanceIdError as error:
            raise self._fence(error) from error
        except Exception as error:
            self._drop()
            raise translate(f"rebalancing {self._group}", error) from error

    def _step(self, consumer: KafkaConsumer, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Any]]:
        """One poll, with the workarounds before and after it."""
        before_poll(consumer)
        fetched: Mapping[TopicPartition, Sequence[Any]] = consumer.poll(timeout_ms=timeout_ms)
        self._apply_changes()
        after_poll(consumer, self._topic, self._joining, holds=bool(self._held), now=time.monotonic())
        return fetched

    def _fence(self, error: KafkaError) -> StaleMember:
        self._fenced = True
        self._drop()
        return StaleMember(
            f"another process joined {self._group} as {self._member}: is HEADGATE_NAME used twice? {error}"
        )

    def _check_usable(self) -> None:
        if self._closed:
            raise LogUnavailable("the consumer is closed")
        if self._fenced:
            raise StaleMember(f"another process joined {self._group} as {self._member}")
