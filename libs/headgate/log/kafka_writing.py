"""Writing to Kafka: bounded sends, outcomes in the port's words, and a new producer when the library gives one up."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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

from headgate.log.kafka_client import NO_METRICS, RECORD_BATCH_BYTES, REQUEST_SECONDS, in_our_words, translated
from headgate.log.port import LogError, LogUnavailable, Message, OutcomeUnknown, Position, RecordTooLarge, UnknownTopic
from headgate.log.rounds import Rounds, Take

DELIVERY_SECONDS = 30.0
MAX_IN_FLIGHT_MESSAGES = 4_000
"""The library never holds a sender back, so we do."""
SLICE_MESSAGES = 500
"""How many messages of one call take their room together, and give it back together."""
ROUND_SECONDS = 0.05
"""How long those who come later wait for the records of a round, so that theirs share a request."""
COMPANY_SECONDS = 0.004
LINGER_MS = 5
"""Longer than it takes to hand a round over, so that the library does not send its first record alone."""
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
        self._rounds: Rounds[_Call] = Rounds(
            self._send_together, MAX_IN_FLIGHT_MESSAGES, SLICE_MESSAGES, COMPANY_SECONDS
        )

    def write(self, messages: Sequence[tuple[Message, int]], deadline: float) -> list[Position]:
        """Where the messages stand, each in the partition given with it, once they are durable.

        Raises RecordTooLarge, UnknownTopic, LogRefused, LogUnavailable, OutcomeUnknown.
        """
        sent: list[_Sent] = self._rounds.carry_out(_Call(messages, deadline), len(messages), deadline)
        return [self._position(each, deadline) for each in sent]

    def close(self) -> None:
        """Sends what waits, within CLOSE_SECONDS; what is unsent then has an unknown outcome for those who wait."""
        try:
            self._producer.close(timeout=CLOSE_SECONDS)
        except KafkaTimeoutError:
            self._producer.close(timeout=0)

    def _send_together(self, take: Take["_Call"], deadline: float) -> None:
        """Nobody waits here for a partition without a leader: each caller waits for its own records."""
        sent = [(work, self._sent(work.item)) for work in take()]
        with suppress(KafkaError):
            self._producer.flush(timeout=min(ROUND_SECONDS, max(0.0, deadline - time.monotonic())))
        for work, result in sent:
            work.end(result)

    def _sent(self, call: "_Call") -> "list[_Sent] | LogError":
        sent: list[_Sent] = []
        try:
            for at in range(0, len(call.messages), SLICE_MESSAGES):
                self._send(call.messages[at : at + SLICE_MESSAGES], sent, call.deadline)
        except LogError as error:
            return error
        return sent

    def _send(self, messages: Sequence[tuple[Message, int]], sent: "list[_Sent]", deadline: float) -> None:
        """Hands the messages over and adds them to `sent`; their outcomes are asked for afterwards."""
        room = self._in_flight.take(len(messages), deadline)
        unsent = len(messages)
        try:
            for message, partition in messages:
                producer = self._usable()
                future = self._handed_over(producer, message, partition)
                unsent -= 1
                future.add_both(room.give_back)
                sent.append(_Sent(message.topic, future, producer))
        finally:
            for _ in range(unsent):
                room.give_back()

    def _position(self, sent: "_Sent", deadline: float) -> Position:
        try:
            written = sent.future.get(timeout=max(0.0, deadline - time.monotonic()))
        except KafkaError as error:
            self._note(sent.producer, error)
            raise _outcome(sent.topic, error) from error
        return Position(sent.topic, written.partition, written.offset)

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
        """Called by the leader of a round only. While no broker answers this takes seconds; others give up in time."""
        spent = self._spent
        if spent is self._producer:
            with translated("connecting a new producer"):
                self._producer = _producer(self._settings)
            with suppress(KafkaError):
                spent.close(timeout=0)
        return self._producer


class _Call(NamedTuple):
    """The messages of one caller, each with its partition."""

    messages: Sequence[tuple[Message, int]]
    deadline: float


class _Sent(NamedTuple):
    """One message on its way."""

    topic: str
    future: Any
    producer: KafkaProducer


class _InFlight:
    """Counts the messages that were handed over and have no outcome yet."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._changed = threading.Condition()

    def take(self, messages: int, deadline: float) -> "_Room":
        """Room for so many messages. Raises LogUnavailable when there is none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= messages, max(0.0, deadline - time.monotonic())):
                raise LogUnavailable(f"{self._most} records wait to be written; this one was not sent")
            self._free -= messages
        return _Room(messages, self._free_again)

    def _free_again(self, messages: int) -> None:
        with self._changed:
            self._free += messages
            self._changed.notify_all()


class _Room:
    """The room of some messages, free again when each of them has given back its place."""

    def __init__(self, messages: int, free: Callable[[int], None]) -> None:
        self._messages, self._free = messages, free
        self._ended = itertools.count(1)

    def give_back(self, _: object = None) -> None:
        """Called once for each message, by any thread: taking the next of a count cannot be interrupted."""
        if next(self._ended) == self._messages:
            self._free(self._messages)


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
