"""Writing to Kafka: bounded sends, outcomes in the port's words, and a new producer when the library gives one up."""

import itertools
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
from headgate.log.kafka.client import NO_METRICS, RECORD_BATCH_BYTES, REQUEST_SECONDS, in_our_words, translated
from headgate.log.port import LogError, LogUnavailable, Message, OutcomeUnknown, Position, RecordTooLarge, UnknownTopic

DELIVERY_SECONDS = 30.0
MAX_IN_FLIGHT_MESSAGES = 4_000
"""The library never holds a sender back, so we do."""
SLICE_MESSAGES = 500
"""How many messages of one call take their room together, and give it back together."""
BATCH_SECONDS = 0.05
"""How long a leader waits for the outcome of its batch: what arrives meanwhile shares the next request."""
GATHER_SECONDS = 0.004
LINGER_MS = 5
"""Longer than it takes to pass a batch to the library, so that it does not send the first record alone."""
CLOSE_SECONDS = 5.0


class KafkaWriter:
    """One producer for all threads. Raises what KafkaProducer raises when no broker answers at the start.

    After any error that is not to be retried, be it one record too large for its topic, the library fails everything
    that an idempotent producer is given from then on: such a producer is replaced.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._in_flight = _InFlight(MAX_IN_FLIGHT_MESSAGES)
        self._producer = _producer(settings)
        self._spent: Any = None
        self._group_commit: GroupCommit[_Call] = GroupCommit(
            self._send_together, MAX_IN_FLIGHT_MESSAGES, SLICE_MESSAGES, GATHER_SECONDS
        )

    def write(self, messages: Sequence[Message], partitions: Sequence[int], deadline: float) -> list[Position]:
        """Where the messages stand, each in the partition given for it, once they are durable.

        Raises RecordTooLarge, UnknownTopic, LogRefused, LogUnavailable, OutcomeUnknown.
        """
        sent: list[_Sent] = self._group_commit.submit(_Call(messages, partitions, deadline), len(messages), deadline)
        return [position for some in sent for position in self._positions(some, deadline)]

    def close(self) -> None:
        """Sends what waits, within twice CLOSE_SECONDS; what is unsent then has an unknown outcome for its callers."""
        self._group_commit.close(CLOSE_SECONDS)
        try:
            self._producer.close(timeout=CLOSE_SECONDS)
        except KafkaTimeoutError:
            self._producer.close(timeout=0)

    def _send_together(self, take: Take["_Call"], deadline: float) -> None:
        """Nobody waits here for a partition without a leader: each caller waits for its own records."""
        self._usable()  # before the batch is taken, so that waiting callers can still give up in time
        sent = [(entry, self._sent(entry.item)) for entry in take()]
        with suppress(KafkaError):
            self._producer.flush(timeout=min(BATCH_SECONDS, max(0.0, deadline - time.monotonic())))
        for entry, result in sent:
            entry.finish(result)

    def _sent(self, call: "_Call") -> "list[_Sent] | Exception":
        if time.monotonic() >= call.deadline:
            return LogUnavailable("not sent in time; nothing was changed")
        try:
            return [self._send(*some, call.deadline) for some in call.slices()]
        except Exception as error:  # noqa: BLE001 - whatever it was, it is this caller's and nobody else's
            return error

    def _send(self, messages: Sequence[Message], partitions: Sequence[int], deadline: float) -> "_Sent":
        """Hands the messages over; their outcomes are asked for afterwards."""
        self._in_flight.take(len(messages), deadline)
        futures: list[Any] = []
        lasts: dict[tuple[str, int], Any] = {}
        try:
            producer = self._usable()
            for message, partition in zip(messages, partitions, strict=True):
                future = self._handed_over(producer, message, partition)
                futures.append(future)
                lasts[message.topic, partition] = future
        finally:
            self._in_flight.free_after(lasts.values(), len(messages))
        return _Sent(messages, futures, producer)

    def _positions(self, sent: "_Sent", deadline: float) -> Iterator[Position]:
        for message, future in zip(sent.messages, sent.futures, strict=True):
            try:
                # The library's `get` takes a lock and a timer, even for an outcome that is there.
                written = future.value if future.succeeded() else future.get(max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                self._note(sent.producer, error)
                raise _outcome(message.topic, error) from error
            yield Position(message.topic, written.partition, written.offset)

    def _handed_over(self, producer: KafkaProducer, message: Message, partition: int) -> Any:
        try:
            return producer.send(message.topic, message.value, message.key, list(message.headers), partition)
        except KafkaError as error:
            self._note(producer, error)
            raise in_our_words(f"sending to {message.topic}", error) from error

    def _note(self, producer: KafkaProducer, error: KafkaError) -> None:
        if not isinstance(error, RetriableError):
            self._spent = producer

    def _usable(self) -> KafkaProducer:
        """Only the leader of a batch calls it. It may take seconds while no broker answers; others give up in time."""
        spent = self._spent
        if spent is self._producer:
            with translated("connecting a new producer"):
                self._producer = _producer(self._settings)
            with suppress(KafkaError):
                spent.close(timeout=0)
        return self._producer


class _Call(NamedTuple):
    """The messages of one caller, and the partition of each."""

    messages: Sequence[Message]
    partitions: Sequence[int]
    deadline: float

    def slices(self) -> Iterator[tuple[Sequence[Message], Sequence[int]]]:
        """Up to SLICE_MESSAGES messages at a time, and their partitions."""
        for at in range(0, len(self.messages), SLICE_MESSAGES):
            yield self.messages[at : at + SLICE_MESSAGES], self.partitions[at : at + SLICE_MESSAGES]


class _Sent(NamedTuple):
    """Messages of one call on their way, and beside each its outcome to come."""

    messages: Sequence[Message]
    futures: Sequence[Any]
    producer: KafkaProducer


class _InFlight:
    """Counts the messages that were handed over and have no outcome yet."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._changed = threading.Condition()

    def take(self, messages: int, deadline: float) -> None:
        """Room for so many messages. Raises LogUnavailable when there is none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= messages, max(0.0, deadline - time.monotonic())):
                raise LogUnavailable(f"{self._most} records wait to be written; this one was not sent")
            self._free -= messages

    def free_after(self, lasts: Collection[Any], messages: int) -> None:
        """Gives the room of so many messages back once all of `lasts` ended, well or badly; at once if there are none.

        `lasts` is the last message of each partition, since a partition's messages end in their order.
        """
        ended = itertools.count(1)

        def end(_: object) -> None:
            if next(ended) == len(lasts):  # any thread may be here: taking the next of a count cannot be interrupted
                self._free_again(messages)

        for last in lasts:
            last.add_both(end)
        if not lasts:
            self._free_again(messages)

    def _free_again(self, messages: int) -> None:
        with self._changed:
            self._free += messages
            self._changed.notify_all()


def _outcome(topic: str, error: KafkaError) -> LogError:
    if isinstance(error, MessageSizeTooLargeError):
        return RecordTooLarge(f"the broker keeps smaller records in {topic}")
    if isinstance(error, UnknownTopicOrPartitionError):
        return UnknownTopic(f"there is no topic {topic}")
    if isinstance(error, AuthorizationError):
        return in_our_words(f"appending to {topic}", error)
    return OutcomeUnknown(f"appending to {topic}: {type(error).__name__}: {error}")


def _producer(settings: Mapping[str, Any]) -> KafkaProducer:
    return KafkaProducer(
        **settings,
        **NO_METRICS,
        acks="all",
        enable_idempotence=True,  # said aloud: a conflicting setting would otherwise switch it off in silence
        allow_auto_create_topics=False,
        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        max_block_ms=int(REQUEST_SECONDS * 1000),
        max_request_size=RECORD_BATCH_BYTES,
        batch_size=256 * 1024,
        linger_ms=LINGER_MS,
    )
