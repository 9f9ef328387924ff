"""The event log as the rest of Headgate sees it: topics, partitions, records, positions and groups.

Kafka and SQLite each have an adapter that implements it. Both must pass the suite in tests/contract.
The log stores values as bytes and does not interpret them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

PARTITIONS = 12
"""Partitions of every topic. Never change this number: streams would move to other partitions."""

MAX_RECORD_BYTES = 1_000_000
"""Largest key + value + headers of one record."""

Headers = tuple[tuple[str, bytes], ...]

BROKER_SKEW_SECONDS = 30.0
"""How far the clocks of two brokers may differ. Times of records in different partitions are compared no closer."""

BROKER_DEFAULT = -1
"""For a setting that the brokers choose."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how long its records are kept. A `retention_ms` of -1 keeps them for ever.

    `replication` is the number of copies. `min_insync` is how many of them must store a record before it is
    acknowledged. The embedded log ignores both and keeps one copy.
    """

    name: str
    retention_ms: int
    partitions: int = PARTITIONS
    replication: int = BROKER_DEFAULT
    min_insync: int = BROKER_DEFAULT


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic's settings, declared and found, under the names that the log uses.

    `found` is empty when the topic does not exist.
    """

    name: str
    declared: Mapping[str, str]
    found: Mapping[str, str]

    @property
    def exists(self) -> bool:
        return bool(self.found)

    def differences(self) -> list[str]:
        """One sentence for each setting that differs from its declaration. Empty when the topic does not exist."""
        return [
            f"{self.name}: {setting} is {self.found[setting]}, declared is {value}"
            for setting, value in self.declared.items()
            if self.exists and self.found[setting] != value
        ]


@dataclass(frozen=True, slots=True)
class Message:
    """A record to append. The key decides the partition. Headers keep their order and bytes."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


class Record(NamedTuple):
    """A stored message and its position. Offsets in a partition grow, but may leave gaps.

    It is a tuple because a replay makes millions of records, and a frozen dataclass takes three times as long to make.
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
    """The position of one record. The next read starts at `offset + 1`.

    An append also gives `timestamp_ms`: the record's time, as `read` shows it. Otherwise it is 0.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = field(default=0, compare=False)


def record_bytes(message: Message) -> int:
    """The size of the message that MAX_RECORD_BYTES limits."""
    size = len(message.key) + len(message.value or b"")
    for name, value in message.headers:
        size += len(name.encode()) + len(value)
    return size


def refuse_mismatch(states: Iterable[TopicState]) -> None:
    """Raises one TopicMismatch that lists every difference, if there are any."""
    differences = [difference for state in states for difference in state.differences()]
    if differences:
        raise TopicMismatch(differences)


class LogError(Exception):
    """The log could not do what was asked."""


class AddressInvalid(LogError):
    """The address of the log is wrong, or one of its options. Nothing was asked."""


class AddressFileMissing(AddressInvalid):
    """A file that the address of the log names does not exist."""


class LogUnavailable(LogError):
    """The log cannot be reached. The same call may work later."""


class OutcomeUnknown(LogError):
    """It is unknown whether the record was written. Look for it before you append it again."""


class RecordTooLarge(LogError):
    """The message is larger than MAX_RECORD_BYTES. It was not written."""


class UnknownTopic(LogError):
    """The topic does not exist. Using a topic never creates it."""


class LogRefused(LogError):
    """The log refused us: wrong credentials, an untrusted certificate or a missing right. Retrying does not help."""


class RecordsLost(LogError):
    """Records that a reader needs are no longer in the log. They were deleted, or the end of a partition was lost."""


class TopicsMissing(LogUnavailable):
    """Declared topics do not exist yet. The operator of the log creates them."""


class TopicMismatch(LogError):
    """Topics exist with other settings than declared. `differences` has one sentence for each topic and setting."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = tuple(differences)


class StaleMember(LogError):
    """Another member has taken over this member's partitions or name. Its commits are refused."""


class Tail(Protocol):
    """Reads given partitions from given offsets on, without a group. Not thread-safe."""

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        """The next records, in order within each partition. Empty when none arrive within the timeout."""
        ...

    def follow(self, handle: Callable[[Sequence[Record]], None], timeout_seconds: float) -> None:
        """Passes the records that `poll` would return to `handle`.

        Repeat this call with the same `handle`, and do not call `poll` in between. An adapter may also call `handle`
        outside of these calls: on a thread of this process that appends, before its append returns. All calls of
        `handle` are in order and never overlap. An error that `handle` raises on such a thread is raised here.
        """
        ...

    def stop_waiting(self) -> None:
        """From now on `poll` and `follow` do not wait. Any thread may call this.

        The adapter may leave a wait that is in progress until its timeout.
        """
        ...

    def close(self) -> None:
        """After it returns, no records are passed on, and `poll` and `follow` raise LogUnavailable. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Consumer(Protocol):
    """A member of a consumer group. It gets a share of the partitions and commits the records it has handled.

    Not thread-safe.
    """

    def poll(self, timeout_seconds: float) -> Sequence[Record]:
        """The next records of this member's partitions. Uncommitted records come again after a crash.

        Raises StaleMember after another process has joined under the same member name.
        """
        ...

    def commit(self, records: Iterable[Record]) -> None:
        """Marks these records, and all earlier ones of their partitions, as handled. Raises StaleMember."""
        ...

    def stop_waiting(self) -> None:
        """From now on `poll` does not wait. Any thread may call this. See Tail."""
        ...

    def close(self) -> None:
        """Leaves the group. The other members get this member's partitions."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class EventLog(Protocol):
    """Durable, ordered topics that can be replayed. Thread-safe, but each tail and consumer belongs to one thread."""

    def create_topics(self, topics: Iterable[Topic]) -> None:
        """Creates the missing topics. If an existing one differs, creates none and raises TopicMismatch. Idempotent."""
        ...

    def describe_topics(self, topics: Iterable[Topic]) -> Sequence[TopicState]:
        """The declared and the found settings of each topic, in the order of `topics`."""
        ...

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        """Returns when the record is durable. Raises RecordTooLarge, UnknownTopic, LogUnavailable, OutcomeUnknown."""
        ...

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        """Appends in order and waits once for all. After an error, some of the records may be in the log."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[Record]:
        """Up to `limit` records at or after `offset`. Never waits for new records.

        Empty means that there are none. A page may have fewer than `limit` records because of its size in bytes.
        """
        ...

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> Sequence[tuple[int, bytes | None]]:
        """Offset and value of the records that `read` would return. A replay needs no more, and this is faster."""
        ...

    def end(self, topic: str) -> Mapping[int, int]:
        """Per partition, the offset after the last record."""
        ...

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """Per partition, the offset of the first record at or after the time, or the end when there is none."""
        ...

    def tail(self, topic: str, start: Mapping[int, int]) -> Tail:
        """A tail that starts at the given offset of each given partition."""
        ...

    def consumer(self, topic: str, group: str, member: str) -> Consumer:
        """Joins `group` as the static member `member`. A new group starts at the earliest record."""
        ...

    def committed(self, topic: str, group: str) -> Mapping[int, int]:
        """Per partition, the offset that the group reads next. Partitions without a commit are absent."""
        ...

    def close(self) -> None: ...
