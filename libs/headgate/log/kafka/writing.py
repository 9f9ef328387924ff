"""Writes to Kafka: limits the records in flight, translates outcomes, and replaces a producer that failed."""

import itertools
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RetriableError,
    UnknownTopicOrPartitionError,
)

from headgate.log.group_commit import GroupCommit, Take
from headgate.log.kafka.client import NO_METRICS, RECORD_BATCH_BYTES, REQUEST_SECONDS, translate, translated
from headgate.log.kafka.workarounds.producer_id import renew_lost_id
from headgate.log.port import LogError, LogUnavailable, Message, OutcomeUnknown, Position, RecordTooLarge, UnknownTopic

DELIVERY_SECONDS = 30.0
MAX_IN_FLIGHT_MESSAGES = 4_000
"""The library has no limit of its own for records in flight."""
SLICE_MESSAGES = 500
"""How many messages of one call are reserved and released together."""
BATCH_SECONDS = 0.05
"""How long a leader waits for the outcome of its batch. Records that arrive meanwhile share the next request."""
GATHER_SECONDS = 0.004
LINGER_MS = 5
"""Longer than passing a batch to the library takes. Otherwise the library would send the first record alone."""
CLOSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class KafkaWriter:
    """One producer for all threads. Construction raises what KafkaProducer raises without a broker.

    After an error that must not be retried, such as one record that is too large for its topic, an idempotent
    producer of the library fails all further records. The writer then replaces it.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._in_flight = _InFlight(MAX_IN_FLIGHT_MESSAGES)
        self._producer = _producer(settings)
        self._failed_producer: Any = None
        self._group_commit: GroupCommit[_Call] = GroupCommit(
            self._send_together, MAX_IN_FLIGHT_MESSAGES, SLICE_MESSAGES, GATHER_SECONDS
        )

    def write(self, messages: Sequence[Message], partitions: Sequence[int], deadline: float) -> list[Position]:
        """Writes each message to its partition, and returns the positions when all are durable.

        Raises RecordTooLarge, UnknownTopic, LogRefused, LogUnavailable, OutcomeUnknown.
        """
        sent: list[_Sent] = self._group_commit.submit(_Call(messages, partitions, deadline), len(messages), deadline)
        return [position for some in sent for position in self._positions(some, deadline)]

    def close(self) -> None:
        """Sends the records that wait, for up to twice CLOSE_SECONDS. The outcome of all others is unknown."""
        self._group_commit.close(CLOSE_SECONDS)
        try:
            self._producer.close(timeout=CLOSE_SECONDS)
        except KafkaTimeoutError:
            self._producer.close(timeout=0)

    def _send_together(self, take: Take["_Call"], deadline: float) -> None:
        """Sends one batch. It does not wait long for outcomes: each caller waits for its own records."""
        self._usable_producer()  # before the batch is taken, so that waiting callers can still stop at their deadline
        sent = [(entry, self._sent(entry.item)) for entry in take()]
        with suppress(KafkaError):
            self._producer.flush(timeout=min(BATCH_SECONDS, max(0.0, deadline - time.monotonic())))
        for entry, result in sent:
            entry.finish(result)

    def _sent(self, call: "_Call") -> "list[_Sent] | Exception":
        if time.monotonic() >= call.deadline:
            return LogUnavailable("not sent before the deadline; nothing was changed")
        try:
            return [self._send(*slice_, call.deadline) for slice_ in call.slices()]
        except Exception as error:  # noqa: BLE001  # every error goes to this caller alone
            return error

    def _send(self, messages: Sequence[Message], partitions: Sequence[int], deadline: float) -> "_Sent":
        """Passes the messages to the library, without waiting for their outcomes."""
        self._in_flight.reserve(len(messages), deadline)
        futures: list[Any] = []
        lasts: dict[tuple[str, int], Any] = {}
        try:
            producer = self._usable_producer()
            for message, partition in zip(messages, partitions, strict=True):
                future = self._passed_on(producer, message, partition)
                futures.append(future)
                lasts[message.topic, partition] = future
        finally:
            self._in_flight.release_after(lasts.values(), len(messages))
        return _Sent(messages, futures, producer)

    def _positions(self, sent: "_Sent", deadline: float) -> Iterator[Position]:
        for message, future in zip(sent.messages, sent.futures, strict=True):
            try:
                # The library's `get` uses a lock and a timer, even when the outcome is known.
                written = future.value if future.succeeded() else future.get(max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                self._note(sent.producer, error)
                raise _outcome(message.topic, error) from error
            yield Position(message.topic, written.partition, written.offset, written.timestamp)

    def _passed_on(self, producer: KafkaProducer, message: Message, partition: int) -> Any:
        try:
            return producer.send(message.topic, message.value, message.key, list(message.headers), partition)
        except KafkaError as error:
            self._note(producer, error)
            raise translate(f"sending to {message.topic}", error) from error

    def _note(self, producer: KafkaProducer, error: KafkaError) -> None:
        if not isinstance(error, RetriableError):
            self._failed_producer = producer

    def _usable_producer(self) -> KafkaProducer:
        """The producer, replaced if it has failed. This may take seconds, so only the leader of a batch calls it."""
        failed = self._failed_producer
        if failed is self._producer:
            with translated("connecting a new producer"):
                self._producer = _producer(self._settings)
            with suppress(KafkaError):
                failed.close(timeout=0)
        if renew_lost_id(self._producer):
            logger.warning("the producer of Kafka had lost its id in an outage; it asks for a new one")
        return self._producer


class _Call(NamedTuple):
    """The messages of one caller, with the partition of each."""

    messages: Sequence[Message]
    partitions: Sequence[int]
    deadline: float

    def slices(self) -> Iterator[tuple[Sequence[Message], Sequence[int]]]:
        """The messages and their partitions, up to SLICE_MESSAGES at a time."""
        for at in range(0, len(self.messages), SLICE_MESSAGES):
            yield self.messages[at : at + SLICE_MESSAGES], self.partitions[at : at + SLICE_MESSAGES]


class _Sent(NamedTuple):
    """Messages that were sent, with a future for the outcome of each."""

    messages: Sequence[Message]
    futures: Sequence[Any]
    producer: KafkaProducer


class _InFlight:
    """Limits the messages that the library has and whose outcome is not known yet."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit
        self._changed = threading.Condition()

    def reserve(self, messages: int, deadline: float) -> None:
        """Waits until so many more messages may be sent. Raises LogUnavailable at the deadline."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= messages, max(0.0, deadline - time.monotonic())):
                raise LogUnavailable(f"{self._limit} records wait to be written; this one was not sent")
            self._free -= messages

    def release_after(self, lasts: Collection[Any], messages: int) -> None:
        """Releases so many messages when all of `lasts` have an outcome, good or bad; at once when `lasts` is empty.

        `lasts` has the future of the last message of each partition. Messages of one partition end in order.
        """
        ended = itertools.count(1)

        def end(_: object) -> None:
            if next(ended) == len(lasts):  # several threads may call this; `next` of a count is atomic
                self._release(messages)

        for last in lasts:
            last.add_both(end)
        if not lasts:
            self._release(messages)

    def _release(self, messages: int) -> None:
        with self._changed:
            self._free += messages
            self._changed.notify_all()


def _outcome(topic: str, error: KafkaError) -> LogError:
    if isinstance(error, MessageSizeTooLargeError):
        return RecordTooLarge(f"the broker allows only smaller records in {topic}")
    if isinstance(error, UnknownTopicOrPartitionError):
        return UnknownTopic(f"the topic {topic} does not exist")
    if isinstance(error, AuthorizationError):
        return translate(f"appending to {topic}", error)
    return OutcomeUnknown(f"appending to {topic}: {type(error).__name__}: {error}")


def _producer(settings: Mapping[str, Any]) -> KafkaProducer:
    return KafkaProducer(
        **settings,
        **NO_METRICS,
        acks="all",
        enable_idempotence=True,  # explicit: otherwise a conflicting setting would switch it off silently
        allow_auto_create_topics=False,
        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        max_block_ms=int(REQUEST_SECONDS * 1000),
        max_request_size=RECORD_BATCH_BYTES,
        batch_size=256 * 1024,
        linger_ms=LINGER_MS,
    )
