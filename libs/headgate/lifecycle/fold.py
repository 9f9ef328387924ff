"""The fold of headgate.lifecycle: it turns records into state, the same in every service.

It has no thread and reads no log.
"""

import logging
from typing import NamedTuple

from headgate.domain.fact import fact_of
from headgate.domain.names import ACCESS_STREAM, split_stream
from headgate.domain.state import AccessState, EnvironmentState, IllegalFact, ModelState
from headgate.domain.subject import subject_of
from headgate.lifecycle.stream import Stream, new_stream, parse
from headgate.log.port import Record
from headgate.v1 import facts_pb2 as facts

MAX_SHOWN = 200

NOT_A_FACT = "not-a-fact"
NOT_A_LINK = "not-a-link"
STREAM_STOPPED = "stream-stopped"
ILLEGAL_FACT = "illegal-fact"

logger = logging.getLogger(__name__)


class Fault(NamedTuple):
    """What is wrong with a record that no registry can have written. A void record that lost a race has no fault."""

    code: str
    reason: str


class Fold:
    """Folds lifecycle records in the order of the log. Not thread-safe: LifecycleFold guards it with a lock."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.models: dict[str, ModelState] = {}
        self.environments: dict[str, EnvironmentState] = {}
        self.access = AccessState(split_stream(ACCESS_STREAM)[1])
        """Who may do what."""
        self.positions: dict[int, int] = {}
        # Offset of the last accepted record, by partition.
        self.accepted: dict[int, int] = {}
        self.void_records = 0
        self.stopped_streams = 0
        self.revision = 0
        self.fault: Fault | None = None
        """The fault of the newest record that had one. Its reader resets it."""

    def apply(self, record: Record) -> facts.LifecycleRecord | None:
        """Folds one record of the log. Returns the lifecycle record when it is accepted, None when it is void."""
        return self.fold(record.partition, record.offset, record.value or b"")

    def fold(self, partition: int, offset: int, value: bytes) -> facts.LifecycleRecord | None:
        """As `apply`, for a record whose position and value alone are known. A replay needs no more."""
        self.positions[partition] = offset + 1
        record = parse(value)
        stream = None
        if record is not None:
            name = record.stream
            stream = self.streams.get(name) or new_stream(name)
            if stream is not None and not stream.broken and stream.accept(record, value, partition, offset):
                self.accepted[partition] = offset
                self._evolve(stream, record)
                return record
        self.void_records += 1
        self.fault = _fault(record, stream)
        return None

    def _evolve(self, stream: Stream, record: facts.LifecycleRecord) -> None:
        self.revision += 1
        fact = fact_of(record)
        if fact is not None:
            try:
                stream.evolve(fact, record)
            except Exception as error:  # noqa: BLE001  # a forged fact may stop its stream, but no service
                reason = str(error) if isinstance(error, IllegalFact) else f"{type(error).__name__}: {error}"
                stream.broken = f"sequence {record.sequence}: {reason}"
                self.stopped_streams += 1
                self.fault = Fault(ILLEGAL_FACT, f"{stream.name} stopped at {stream.broken}")
                logger.error("stream stopped at an illegal fact", extra={"stream": stream.name, "error": stream.broken})
            if record.trace_parent:
                stream.keep_trace(subject_of(fact), record.trace_parent)
        if not stream.listed:
            self._list(stream)

    def _list(self, stream: Stream) -> None:
        """Shows a stream to readers, and its state once the first fact is folded."""
        self.streams[stream.name] = stream
        if stream.broken or not stream.state.exists:
            return
        stream.listed = True
        if isinstance(stream.state, ModelState):
            self.models[stream.state.name] = stream.state
        elif isinstance(stream.state, EnvironmentState):
            self.environments[stream.state.name] = stream.state
        elif stream.name == ACCESS_STREAM:
            self.access = stream.state


def _fault(record: facts.LifecycleRecord | None, stream: Stream | None) -> Fault | None:
    """The fault of a void record; None when another record won the race for its sequence."""
    if record is None:
        return Fault(NOT_A_FACT, "the value is not a headgate.v1.LifecycleRecord")
    if stream is None:
        return Fault(NOT_A_FACT, f"{record.stream[:MAX_SHOWN]!r} is not the name of a stream")
    if stream.broken:
        return Fault(STREAM_STOPPED, f"{stream.name} stopped at {stream.broken}")
    if 1 <= record.sequence <= stream.sequence:
        return None
    return Fault(
        NOT_A_LINK,
        f"the head of {stream.name} is at sequence {stream.sequence}: sequence {record.sequence} does not follow it",
    )
