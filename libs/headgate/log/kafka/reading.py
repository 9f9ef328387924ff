"""Reads Kafka without a group: single pages and tails."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from headgate.log.kafka.client import FETCH_WAIT_SECONDS, built, close_quietly, consumer_settings, records_of, translate
from headgate.log.port import LogUnavailable, Record, RecordsLost

READ_SECONDS = 10.0
MAX_SILENCE_SECONDS = 3.0
TAIL_FETCH_WAIT_SECONDS = 0.5
"""Longer than for other consumers: a tail makes few other requests, and each empty fetch costs a millisecond of CPU."""
_READ_STEP_MS = 100


class PartitionReader:
    """Reads given partitions on and recovers from failures of the library. Not thread-safe.

    After any error, even one of the library itself, the state of the consumer is unknown. The reader then closes it and
    builds a new one.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        topic: str,
        start: Mapping[int, int],
        fetch_wait_seconds: float,
    ) -> None:
        self._settings = {**settings, **consumer_settings(fetch_wait_seconds), "auto_offset_reset": "none"}
        self._topic = topic
        self.next = dict(start)
        self._consumer: KafkaConsumer | None = None

    def poll(self, timeout_seconds: float, limit: int | None = None) -> list[Record]:
        """The next records. Raises LogUnavailable, or RecordsLost when the log ends before the next offset."""
        try:
            consumer = self._consumer or self._build()
            records = records_of(consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=limit))
        except OffsetOutOfRangeError:
            self.close()
            self._skip_deleted()
            return []
        except Exception as error:
            self.close()
            raise translate(f"reading {self._topic}", error) from error
        for record in records:
            self.next[record.partition] = record.offset + 1
        return records

    def move(self, topic: str, start: Mapping[int, int]) -> None:
        """Reads other partitions from now on, over the same connections."""
        self._topic, self.next = topic, dict(start)
        if self._consumer:
            self._place(self._consumer)

    def passed(self, partition: int) -> int:
        """The next offset to read. Markers, which are not records, count as read."""
        try:
            position = self._consumer and self._consumer.position(TopicPartition(self._topic, partition), timeout_ms=0)
        except Exception as error:
            self.close()
            raise translate(f"reading {self._topic}", error) from error
        return max(position or 0, self.next[partition])

    def ends(self) -> dict[int, int]:
        """For each partition that is read, the offset after its last record."""
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
        """Moves to the first record that was not deleted."""
        firsts = self._bounds(lambda consumer: consumer.beginning_offsets)
        ends = self.ends()
        for partition, offset in self.next.items():
            if offset > ends[partition]:
                raise RecordsLost(f"{self._topic}/{partition} ends at {ends[partition]}, before {offset}")
            self.next[partition] = max(offset, firsts[partition])
        self.close()

    def _bounds(self, method: Callable[[KafkaConsumer], Callable[..., dict[Any, int]]]) -> dict[int, int]:
        try:
            consumer = self._consumer or self._build()
            partitions = [TopicPartition(self._topic, partition) for partition in self.next]
            found = method(consumer)(partitions, timeout_ms=int(READ_SECONDS * 1000))
        except Exception as error:
            self.close()
            raise translate(f"looking up the bounds of {self._topic}", error) from error
        return {partition.partition: offset for partition, offset in found.items()}


class KafkaTail:
    """Follows given partitions; implements port.Tail.

    The library reports no error when the brokers are unreachable: a poll then returns no records, as if there were
    none. So after MAX_SILENCE_SECONDS without records, a tail looks up the ends, which fails without a broker.
    """

    def __init__(self, reader: PartitionReader, is_closed: Callable[[], bool]) -> None:
        self._reader = reader
        self._log_is_closed = is_closed
        self._last_answer_at = time.monotonic()
        self._waits = True
        self._closed = False

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        if self._closed:
            raise LogUnavailable("the tail is closed")
        if self._log_is_closed():
            raise LogUnavailable("the log is closed")
        records = self._reader.poll(timeout_seconds if self._waits else 0.0)
        if not records and time.monotonic() - self._last_answer_at > MAX_SILENCE_SECONDS:
            self._reader.ends()
            self._last_answer_at = time.monotonic()
        if records:
            self._last_answer_at = time.monotonic()
        return records

    def follow(self, handle: Callable[[Sequence[Record]], None], timeout_seconds: float) -> None:
        handle(self.poll(timeout_seconds))

    def stop_waiting(self) -> None:
        self._waits = False

    def close(self) -> None:
        self._closed = True
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Pages:
    """Serves `read` with one consumer. It keeps its position, so a replay page by page is one stream of fetches."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._at: tuple[str, int, int] | None = None
        self._reader = PartitionReader(settings, "", {}, FETCH_WAIT_SECONDS)

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        if not self._lock.acquire(timeout=READ_SECONDS):
            raise LogUnavailable(f"reading {topic}: another read did not end within {READ_SECONDS:g} s")
        at, self._at = self._at, None  # after any failure the position is unknown
        try:
            if at == (topic, partition, offset):
                records = self._reader.poll(0.0, limit)  # the records that were fetched ahead
            else:
                records = []
                self._reader.move(topic, {partition: offset})
            records = records or self._fetched(partition, offset, limit)
            self._at = (topic, partition, records[-1].offset + 1) if records else None
            return records
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._reader.close()

    def _fetched(self, partition: int, offset: int, limit: int) -> list[Record]:
        """For an empty buffer: looks up the end, and waits only for records that exist."""
        end = self._reader.ends()[partition]
        deadline = time.monotonic() + READ_SECONDS
        while offset < end and self._reader.passed(partition) < end:
            if records := self._reader.poll(_READ_STEP_MS / 1000, limit):
                return records
            if time.monotonic() > deadline:
                raise LogUnavailable(f"the records up to offset {end} did not arrive within {READ_SECONDS:g} s")
        return []
