"""Writing to Kafka: bounded sends, outcomes in the port's words, and a new producer when the library gives one up."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RetriableError,
    UnknownTopicOrPartitionError,
)

from headgate.log.kafka_client import RECORD_BATCH_BYTES, REQUEST_SECONDS, in_our_words, translated
from headgate.log.port import LogError, LogUnavailable, Message, OutcomeUnknown, Position, RecordTooLarge, UnknownTopic

DELIVERY_SECONDS = 30.0
MAX_IN_FLIGHT_MESSAGES = 2_000
"""The library never holds a sender back, so we do."""
CLOSE_SECONDS = 5.0


class KafkaWriter:
    """One producer for all threads. Raises what KafkaProducer raises when no broker answers at the start.

    After any error that is not to be retried, be it one record too large for its topic, the library fails everything
    that an idempotent producer is given from then on: such a producer is replaced.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._in_flight = threading.BoundedSemaphore(MAX_IN_FLIGHT_MESSAGES)
        self._replacing = threading.Lock()
        self._producer = _producer(settings)
        self._spent: Any = None

    def send(self, message: Message, partition: int, deadline: float) -> "Sent":
        """Hands the message over; its outcome is asked for afterwards. Raises LogUnavailable, LogError."""
        if not self._in_flight.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LogUnavailable(f"{MAX_IN_FLIGHT_MESSAGES} records wait to be written; this one was not sent")
        try:
            producer = self._usable()
            future = self._handed_over(producer, message, partition)
        except BaseException:
            self._in_flight.release()
            raise
        future.add_both(lambda _: self._in_flight.release())
        return Sent(message.topic, future, lambda error: self._note(producer, error))

    def close(self) -> None:
        """Sends what waits, within CLOSE_SECONDS; what is unsent then has an unknown outcome for those who wait."""
        try:
            self._producer.close(timeout=CLOSE_SECONDS)
        except KafkaTimeoutError:
            self._producer.close(timeout=0)

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
        with self._replacing:
            if self._spent is self._producer:
                spent = self._spent
                with translated("connecting a new producer"):
                    self._producer = _producer(self._settings)
                with suppress(KafkaError):
                    spent.close(timeout=0)
            return self._producer


class Sent:
    """One message on its way. `note` is told of an error that it came to."""

    def __init__(self, topic: str, future: Any, note: Callable[[KafkaError], None]) -> None:
        self._topic, self._future, self._note = topic, future, note

    def position(self, deadline: float) -> Position:
        """Where the record stands. Raises RecordTooLarge, UnknownTopic, LogRefused, OutcomeUnknown."""
        try:
            written = self._future.get(timeout=max(0.0, deadline - time.monotonic()))
        except KafkaError as error:
            self._note(error)
            raise _outcome(self._topic, error) from error
        return Position(self._topic, written.partition, written.offset)


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
        acks="all",
        enable_idempotence=True,  # said aloud: a conflicting setting would otherwise switch it off in silence
        allow_auto_create_topics=False,
        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        max_block_ms=int(REQUEST_SECONDS * 1000),
        max_request_size=RECORD_BATCH_BYTES,
        batch_size=256 * 1024,
        linger_ms=0,  # what comes while a request is under way shares the next one
    )
