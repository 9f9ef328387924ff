"""An exported log as a log that can only be read. No service and no broker needs to run.

Of each record it keeps its place in the file alone, and reads the rest when it is asked for.
"""

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self

from headgate.log.export_file import MAX_LINE_BYTES, ExportInvalid, record_in, topic_in
from headgate.log.port import (
    PARTITIONS,
    AddressFileMissing,
    AddressInvalid,
    LogRefused,
    Message,
    Position,
    Record,
    Topic,
    TopicState,
    UnknownTopic,
)

READ_ONLY = "an exported log can only be read"
PAGE_BYTES = 8 * 1024 * 1024


class _Partition:
    """Offset, time and place in the file of each record of a partition."""

    def __init__(self) -> None:
        self.offsets, self.times_ms, self.places = array("q"), array("q"), array("q")


class ExportedLog:
    """Implements port.EventLog for reading. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Reads the file once and checks each line. Raises AddressInvalid and ExportInvalid."""
        self._path, self._lock = path, threading.Lock()
        self._partitions = [_Partition() for _ in range(PARTITIONS)]
        try:
            self._file = path.open("rb")
        except FileNotFoundError as error:
            raise AddressFileMissing(f"there is no exported log at {path}") from error
        except OSError as error:
            raise AddressInvalid(f"{path}: {error.strerror}") from error
        try:
            self.topic = self._index()
        except ExportInvalid as error:
            self._file.close()
            raise ExportInvalid(f"{path}: {error}") from None

    def create_topics(self, topics: Iterable[Topic]) -> None:
        _refuse()

    def describe_topics(self, topics: Iterable[Topic]) -> Sequence[TopicState]:
        _refuse()

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        _refuse()

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        _refuse()

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[Record]:
        found = self._of(topic, partition)
        start = bisect_left(found.offsets, offset)
        records: list[Record] = []
        size_bytes = 0
        for place in found.places[start : start + limit]:
            with self._lock:
                self._file.seek(place)
                line = self._file.readline(MAX_LINE_BYTES)
            record = record_in(line, 0, topic)
            assert isinstance(record, Record), f"{self._path} has changed since it was opened"
            records.append(record)
            size_bytes += len(line)
            if size_bytes > PAGE_BYTES:
                break
        return records

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[tuple[int, bytes | None]]:
        return [(record.offset, record.value) for record in self.read(topic, partition, offset, limit)]

    def end(self, topic: str) -> Mapping[int, int]:
        self._of(topic, 0)
        return {number: _end(partition) for number, partition in enumerate(self._partitions)}

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        self._of(topic, 0)
        return {number: _offset_at(partition, timestamp_ms) for number, partition in enumerate(self._partitions)}

    def tail(self, topic: str, start: Mapping[int, int]) -> "ExportedTail":
        self._of(topic, 0)
        return ExportedTail(self, topic, start)

    def consumer(self, topic: str, group: str, member: str) -> NoReturn:
        _refuse()

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        return {}

    def close(self) -> None:
        self._file.close()

    def _of(self, topic: str, partition: int) -> _Partition:
        if topic != self.topic:
            raise UnknownTopic(f"{self._path} has {self.topic} alone, and not {topic}")
        return self._partitions[partition]

    def _index(self) -> str:
        """Notes the place of each record, and returns the topic. Raises ExportInvalid."""
        topic = topic_in(self._file.readline(MAX_LINE_BYTES))
        number, place = 1, self._file.tell()
        for number, line in enumerate(iter(lambda: self._file.readline(MAX_LINE_BYTES), b""), start=2):
            found = record_in(line, number, topic)
            if isinstance(found, int):
                return self._whole(topic, number, found)
            partition = self._partitions[found.partition]
            if found.offset < _end(partition):
                raise ExportInvalid(f"line {number}: offset {found.offset} of partition {found.partition} comes again")
            partition.offsets.append(found.offset)
            partition.times_ms.append(found.timestamp_ms)
            partition.places.append(place)
            place += len(line)
        raise ExportInvalid(f"it ends after line {number} without the number of its records: it was cut short")

    def _whole(self, topic: str, number: int, declared: int) -> str:
        """The topic, when the line with the number of records is right and the last one."""
        found = sum(len(partition.offsets) for partition in self._partitions)
        if found != declared or self._file.read(1):
            problem = f"the file has {found} records before it, expected {declared} and no more"
            raise ExportInvalid(f"line {number}: {problem}")
        return topic


class ExportedTail:
    """Implements port.Tail. After the last record none come."""

    def __init__(self, log: ExportedLog, topic: str, start: Mapping[int, int]) -> None:
        self._log, self._topic, self._start = log, topic, dict(start)
        self._over = threading.Event()

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        for partition, offset in self._start.items():
            records = self._log.read(self._topic, partition, offset)
            if records:
                self._start[partition] = records[-1].offset + 1
                return records
        self._over.wait(timeout_seconds)
        return []

    def follow(self, handle: Callable[[Sequence[Record]], None], timeout_seconds: float) -> None:
        if records := self.poll(timeout_seconds):
            handle(records)

    def stop_waiting(self) -> None:
        self._over.set()

    def close(self) -> None:
        self._over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _end(partition: _Partition) -> int:
    return partition.offsets[-1] + 1 if partition.offsets else 0


def _offset_at(partition: _Partition, timestamp_ms: int) -> int:
    at = bisect_left(partition.times_ms, timestamp_ms)
    return partition.offsets[at] if at < len(partition.offsets) else _end(partition)


def _refuse() -> NoReturn:
    raise LogRefused(READ_ONLY)
