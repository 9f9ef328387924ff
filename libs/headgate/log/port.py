"""The event log as the rest of Headgate sees it: topics, partitions, records, positions and groups.

Two adapters implement it, Kafka and SQLite; tests/contract/ holds the one suite that both must pass.
Values are bytes in and bytes out: what they mean is decided above this port.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

PARTITIONS = 12
"""Partitions of every topic, fixed for life: changing it would move streams between partitions."""

MAX_RECORD_BYTES = 1_000_000
"""Largest key + value + headers of one record."""

Headers = tuple[tuple[str, bytes], ...]


AS_THE_BROKER_HAS_IT = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how long its records are kept; `retention_ms` -1 keeps them for ever.

    `replication` copies are kept, of which `min_insync` acknowledge a record; the embedded log keeps one.
    """

    name: str
    retention_ms: int
    partitions: int = PARTITIONS
    replication: int = AS_THE_BROKER_HAS_IT
    min_insync: int = AS_THE_BROKER_HAS_IT


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic's settings in the log's words, as declared and as found; nothing is found of a missing topic."""

    name: str
    declared: Mapping[str, str]
    found: Mapping[str, str]

    @property
    def exists(self) -> bool:
        return bool(self.found)

    def differences(self) -> list[str]:
        """One sentence for each setting that is not as declared; none for a missing topic."""
        return [
            f"{self.name}: {setting} is {self.found[setting]}, declared is {value}"
            for setting, value in self.declared.items()
            if self.exists and self.found[setting] != value
        ]


@dataclass(frozen=True, slots=True)
class Message:
    """What a writer hands over: the key decides the partition, headers keep their order and bytes."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


class Record(NamedTuple):
    """One stored message at its position. Offsets in a partition grow, but may leave gaps.

    A tuple, since a replay makes millions of them and a frozen dataclass takes three times as long to make.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Position:
    """Where one record stands; `offset + 1` is where to read on."""

    topic: str
    partition: int
    offset: int


def record_bytes(message: Message) -> int:
    """What counts towards MAX_RECORD_BYTES."""
    size = len(message.key) + len(message.value or b"")
    for name, value in message.headers:
        size += len(name.encode()) + len(value)
    return size


def refuse_mismatch(states: Iterable[TopicState]) -> None:
    """Raises TopicMismatch for topics that exist with other settings, all of them at once."""
    differences = [difference for state in states for difference in state.differences()]
    if differences:
        raise TopicMismatch(differences)


class LogError(Exception):
    """The log could not do what was asked."""


class LogUnavailable(LogError):
    """The log cannot be reached; the same call may work later."""


class OutcomeUnknown(LogError):
    """The append may or may not have happened: look for the record before trying again."""


class RecordTooLarge(LogError):
    """The message is larger than MAX_RECORD_BYTES; it was not written."""


class UnknownTopic(LogError):
    """The topic does not exist; topics are never created by use."""


class LogRefused(LogError):
    """The log is there and turns us away: wrong credentials, no trust, no right. Trying again changes nothing."""


class RecordsLost(LogError):
    """Records that a reader needs are no longer in the log: deleted, or lost with the end of a partition."""


class TopicsMissing(LogUnavailable):
    """Declared topics do not exist yet; whoever runs the log creates them."""


class TopicMismatch(LogError):
    """Topics exist with other settings than the declared ones: one sentence for each topic and setting."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = tuple(differences)


class StaleMember(LogError):
    """The group gave this member's partitions to others; its commit was refused."""


class Tail(Protocol):
    """Reads named partitions onwards from given offsets, without a group. Not thread-safe."""

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        """Records in order per partition; empty when none came within the timeout."""
        ...

    def follow(self, take: Callable[[Sequence[Record]], None], timeout_seconds: float) -> None:
        """Hands what `poll` would answer to `take`. Called again and again with the same `take`, and no `poll` between.

        An adapter may also call `take` between and beside these calls, on a thread of this process that appended,
        before its append returns; always in order, and never twice at the same time. What `take` raises there is
        raised here.
        """
        ...

    def close(self) -> None:
        """Once it returns, nothing is handed over any more: `poll` and `follow` raise LogUnavailable. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Consumer(Protocol):
    """A member of a consumer group: gets a share of the partitions, commits what it has done. Not thread-safe."""

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        """The next records of the partitions this member holds; uncommitted ones come again after a crash.

        Raises StaleMember once another process has joined under the same member name.
        """
        ...

    def commit(self, records: Iterable[Record]) -> None:
        """Marks these records and all before them in their partitions as done. Raises StaleMember."""
        ...

    def close(self) -> None:
        """Leaves the group; its partitions go to the other members."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class EventLog(Protocol):
    """Durable, ordered, replayable topics. Thread-safe; tails and consumers belong to one thread each."""

    def create_topics(self, topics: Iterable[Topic]) -> None:
        """Creates the missing ones, unless some differ: then raises TopicMismatch for all of those. Idempotent."""
        ...

    def describe_topics(self, topics: Iterable[Topic]) -> Sequence[TopicState]:
        """What is declared of each topic beside what the log has, in the same order."""
        ...

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        """Returns once the record is durable. Raises RecordTooLarge, UnknownTopic, LogUnavailable, OutcomeUnknown."""
        ...

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        """Appends in order with one wait for all; on an error some may have been written."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[Record]:
        """Up to `limit` records at or after `offset` that are there now; never waits for new ones.

        Empty means that there are none; fewer than `limit` may also mean that the page was large enough.
        """
        ...

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[tuple[int, bytes | None]]:
        """Offset and value of the records that `read` answers: a replay needs no more and gets it sooner."""
        ...

    def end(self, topic: str) -> Mapping[int, int]:
        """Per partition, the offset after the last record."""
        ...

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """Per partition, the first offset at or after the time; the end when there is none."""
        ...

    def tail(self, topic: str, start: Mapping[int, int]) -> Tail:
        """Reads on from the given offset of each named partition."""
        ...

    def consumer(self, topic: str, group: str, member: str) -> Consumer:
        """Joins `group` as the static member `member`; a new group starts at the earliest record."""
        ...

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        """Per partition, the offset the group reads from next; partitions without a commit are absent."""
        ...

    def close(self) -> None: ...
