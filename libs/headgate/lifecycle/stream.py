"""The acceptance rule: the chain is the lock.

A record is accepted if and only if it follows the head of its stream by sequence and digest. The first such record in
the order of the log wins. Every other record is void. All folds of one log agree on this.
"""

import uuid
from array import array
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from headgate.domain import access
from headgate.domain import environment as environments
from headgate.domain import model as models
from headgate.domain.fact import AccessFact, EnvironmentFact, Fact, put_fact
from headgate.domain.names import split_stream
from headgate.domain.state import AccessState, EnvironmentState, IllegalFact, ModelState
from headgate.log import topics
from headgate.log.envelope import PROTOBUF, CloudEvent, digest, encode
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

EVENT_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
GENESIS = b""
MAX_TRACED = 64


@dataclass(slots=True)
class Stream:
    """Head, state and index of one stream."""

    name: str
    state: ModelState | EnvironmentState | AccessState
    sequence: int = 0
    digest: bytes = GENESIS
    partition: int = 0
    # Offset of each accepted record, by sequence - 1. All records of a stream are in one partition.
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    # Time of each accepted record, by sequence - 1; never before that of an earlier one.
    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    # Sequence of each accepted record, by event id.
    accepted: dict[bytes, int] = field(default_factory=dict)
    # Why the fold of this stream stopped; empty when it has not.
    broken: str = ""
    # Whether readers can see the state.
    listed: bool = False
    # W3C traceparent of the last traced fact about each version and release. Workers and gateways continue the trace.
    traces: dict[str, str] = field(default_factory=dict)

    def knows(self, command_id: str) -> bool:
        """Whether a command with this id has already led to an accepted fact."""
        return event_id(self.name, command_id) in self.accepted

    def keep_trace(self, subject: str, trace_parent: str) -> None:
        """Remembers the trace of a subject, up to the newest MAX_TRACED subjects."""
        self.traces.pop(subject, None)
        self.traces[subject] = trace_parent
        if len(self.traces) > MAX_TRACED:
            del self.traces[next(iter(self.traces))]

    def accept(self, record: facts.LifecycleRecord, value: bytes, partition: int, offset: int) -> bool:
        """Accepts the record if it follows the head, and moves the head to it. Returns whether it did.

        `value` has the exact bytes of the record.
        """
        sequence = self.sequence + 1
        if record.sequence != sequence or record.previous_digest != self.digest:
            return False
        if partition != self.partition and sequence > 1:
            return False  # records of different partitions have no order on which all folds agree
        self.sequence = sequence
        self.digest = digest(value)
        self.partition = partition
        self.offsets.append(offset)
        times_ms, at_ms = self.times_ms, record.occurred_at_ms
        times_ms.append(at_ms if not times_ms or at_ms >= times_ms[-1] else times_ms[-1])
        self.accepted[record.event_id] = sequence
        return True

    def evolve(self, fact: Fact, record: facts.LifecycleRecord) -> None:
        """Folds an accepted fact into the state. Raises IllegalFact."""
        state = self.state
        if isinstance(state, ModelState):
            models.evolve(state, fact, record)
        elif isinstance(state, EnvironmentState) and isinstance(fact, EnvironmentFact):
            environments.evolve(state, fact, record)
        elif isinstance(state, AccessState) and isinstance(fact, AccessFact):
            access.evolve(state, fact, record)
        else:
            raise IllegalFact(f"{type(fact).__name__} on {self.name}")


def new_stream(name: str) -> Stream | None:
    """An empty stream; None when the name is not the name of a stream."""
    kind, short = split_stream(name)
    if kind == "models":
        return Stream(name, ModelState(short))
    if kind == "environments":
        return Stream(name, EnvironmentState(short))
    if kind == "access":
        return Stream(name, AccessState(short))
    return None


def event_id(stream: str, command_id: str) -> bytes:
    """UUIDv5 of stream and command id. So a repeated command finds its own fact.

    The name of a stream has no bar in it, so two different pairs never give the same text.
    """
    return uuid.uuid5(EVENT_NAMESPACE, f"{stream}|{command_id}").bytes


def record_of(command: commands.Command, fact: Fact, stream: Stream, at_ms: int) -> facts.LifecycleRecord:
    """The record with this fact that follows the head of the stream."""
    record = facts.LifecycleRecord(
        stream=command.stream,
        sequence=stream.sequence + 1,
        previous_digest=stream.digest,
        event_id=event_id(command.stream, command.command_id),
        command_id=command.command_id,
        command_digest=command_digest(command),
        causation_id=command.causation_id or command.command_id,
        correlation_id=command.correlation_id or command.command_id,
        occurred_at_ms=at_ms,
        actor=command.actor,
        trace_parent=command.trace_parent,
        proven_by=command.proven_by,
    )
    put_fact(record, fact)
    return record


def command_digest(command: commands.Command) -> bytes:
    """SHA-256 of the content of the command, without its sender and its time."""
    name = command.WhichOneof("command") or ""
    body = getattr(command, name).SerializeToString(deterministic=True) if name else b""
    return digest(name.encode() + b"\x00" + body)


def message_of(record: facts.LifecycleRecord) -> Message:
    """The record as a CloudEvent in binary mode. The stream is the key."""
    event = CloudEvent(
        id=str(uuid.UUID(bytes=record.event_id)),
        source="/headgate/registry",
        type=f"headgate.{record.WhichOneof('fact')}.v1",
        data=record.SerializeToString(deterministic=True),
        content_type=PROTOBUF,
        attributes={
            "subject": record.stream,
            "sequence": f"{record.sequence:012d}",
            "correlationid": record.correlation_id,
            "causationid": record.causation_id,
            **({"traceparent": record.trace_parent} if record.trace_parent else {}),
        },
    )
    headers, value = encode(event)
    return Message(topics.LIFECYCLE, record.stream.encode(), value, headers)


_from_bytes = facts.LifecycleRecord.FromString


def parse(value: bytes) -> facts.LifecycleRecord | None:
    """The lifecycle record in the value of a log record; None when the bytes are not such a record."""
    try:
        return _from_bytes(value)
    except DecodeError:
        return None


__all__ = ["Stream", "command_digest", "event_id", "message_of", "new_stream", "parse", "record_of"]
