"""Reading Kafka without a group: single pages and tails. A consumer that raised is thrown away and built again."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from headgate.log.kafka.client import built, close_quietly, consumer_settings, in_our_words, records_of
from headgate.log.port import LogUnavailable, Record, RecordsLost

READ_SECONDS = 10.0
SILENCE_SECONDS = 3.0
_READ_STEP_MS = 100


class Following:
    """A consumer of named partitions that survives the failures of the library. Not thread-safe.

    After any exception, a mistake of the library included, the consumer is thrown away: nobody knows its state.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, start: Mapping[int, int]) -> None:
        self._settings = {**settings, **consumer_settings(), "auto_offset_reset": "none"}
        self._topic = topic
        self.next = dict(start)
        self._consumer: KafkaConsumer | None = None

    def poll(self, timeout_seconds: float, limit: int | None = None) -> list[Record]:
        """Raises LogUnavailable after a failure, RecordsLost when the log ends before the wanted offset."""
        try:
            consumer = self._consumer or self._build()
            records = records_of(consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=limit))
        except OffsetOutOfRangeError:
            self.close()
            self._skip_deleted()
            return []
        except Exception as error:
            self.close()
            raise in_our_words(f"reading {self._topic}", error) from error
        for record in records:
            self.next[record.partition] = record.offset + 1
        return records

    def move(self, topic: str, start: Mapping[int, int]) -> None:
        """Goes elsewhere with the connections it has."""
        self._topic, self.next = topic, dict(start)
        if self._consumer:
            self._place(self._consumer)

    def passed(self, partition: int) -> int:
        """The offset to read on from, behind markers that are no records."""
        try:
            position = self._consumer and self._consumer.position(TopicPartition(self._topic, partition), timeout_ms=0)
        except Exception as error:
            self.close()
            raise in_our_words(f"reading {self._topic}", error) from error
        return max(position or 0, self.next[partition])

    def ends(self) -> dict[int, int]:
        """Per followed partition, where its records end now."""
        return self._bounds(lambda consumer: consumer.end_offsets)

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        close_quietly(consumer)

    def _build(self) -> KafkaConsumer:
        consumer = built(KafkaConsumer, self._settings)
        self._place(consumer)
        self._consumer = consumer
        return consumer

    def _place(self, consumer: KafkaConsumer) -> None:
        consumer.assign([TopicPartition(self._topic, partition) for partition in self.next])
        for partition, offset in self.next.items():
            consumer.seek(TopicPartition(self._topic, partition), offset)

    def _skip_deleted(self) -> None:
        """Goes on at the first record that is still kept."""
        firsts = self._bounds(lambda consumer: consumer.beginning_offsets)
        ends = self.ends()
        for partition, offset in self.next.items():
            if offset > ends[partition]:
                raise RecordsLost(f"{self._topic}/{partition} ends at {ends[partition]}, before {offset}")
            self.next[partition] = max(offset, firsts[partition])
        self.close()

    def _bounds(self, question: Callable[[KafkaConsumer], Callable[..., dict[Any, int]]]) -> dict[int, int]:
        try:
            consumer = self._consumer or self._build()
            partitions = [TopicPartition(self._topic, partition) for partition in self.next]
            found = question(consumer)(partitions, timeout_ms=int(READ_SECONDS * 1000))
        except Exception as error:
            self.close()
            raise in_our_words(f"asking for the bounds of {self._topic}", error) from error
        return {partition.partition: offset for partition, offset in found.items()}


class KafkaTail:
    """Follows named partitions; implements port.Tail.

    The library polls brokers that are away without a word, as if nothing were new. So a tail that has got nothing for
    SILENCE_SECONDS asks for the ends: what hears nothing must know whether there is nothing to hear.
    """

    def __init__(self, following: Following, is_closed: Callable[[], bool]) -> None:
        self._following = following
        self._log_is_closed = is_closed
        self._heard_at = time.monotonic()
        self._closed = False

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        if self._closed:
            raise LogUnavailable("the tail is closed")
        if self._log_is_closed():
            raise LogUnavailable("the log is closed")
        records = self._following.poll(timeout_seconds)
        if not records and time.monotonic() - self._heard_at > SILENCE_SECONDS:
            self._following.ends()
            self._heard_at = time.monotonic()
        if records:
            self._heard_at = time.monotonic()
        return records

    def follow(self, handle: Callable[[Sequence[Record]], None], timeout_seconds: float) -> None:
        handle(self.poll(timeout_seconds))

    def close(self) -> None:
        self._closed = True
        self._following.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Pages:
    """Answers `read`: one consumer that stays where it was, so that a replay in pages is one stream of fetches."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._at: tuple[str, int, int] | None = None
        self._following = Following(settings, "", {})

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        if not self._lock.acquire(timeout=READ_SECONDS):
            raise LogUnavailable(f"reading {topic}: another read takes too long")
        at, self._at = self._at, None  # whatever fails leaves it nowhere
        try:
            if at == (topic, partition, offset):
                records = self._following.poll(0.0, limit)  # what was fetched ahead
            else:
                records = []
                self._following.move(topic, {partition: offset})
            records = records or self._fetched(partition, offset, limit)
            self._at = (topic, partition, records[-1].offset + 1) if records else None
            return records
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._following.close()

    def _fetched(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Nothing is buffered: asks for the end, and waits only for records that exist."""
        end = self._following.ends()[partition]
        deadline = time.monotonic() + READ_SECONDS
        while offset < end and self._following.passed(partition) < end:
            if records := self._following.poll(_READ_STEP_MS / 1000, limit):
                return records
            if time.monotonic() > deadline:
                raise LogUnavailable(f"the records up to {end} did not come within {READ_SECONDS} s")
        return []
