"""The states of streams at moments of the past: folding on from one, and keeping those from which others are folded.

A kept state is never changed. Whoever folds on from it copies it first.
"""

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from headgate.domain.fact import fact_of
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.records import Found
from headgate.lifecycle.stream import Stream, new_stream

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of all kept states together. The state that was used least recently gives way."""
KEPT_EVERY_FACTS = 500
"""A state is kept after every so many facts of a stream, so no later read folds more of them."""

STATE_BYTES = 4_096
"""What the objects of a small state take in memory."""

State = ModelState | EnvironmentState | AccessState
Resource = TypeVar("Resource", bound=Message)


@dataclass(frozen=True, slots=True)
class PastState:
    """A stream's state after the fact with this sequence."""

    sequence: int
    state: State
    is_broken: bool = False
    """An illegal fact has stopped the stream, so later facts change nothing."""


def first_state(name: str) -> PastState:
    """The state of a stream before its first fact."""
    stream = new_stream(name)
    assert stream is not None, f"{name} is not the name of a stream"
    return PastState(0, stream.state)


def fold_on(name: str, start: PastState, found: Iterable[Found]) -> Iterable[PastState]:
    """The state after every KEPT_EVERY_FACTS of the records that follow `start`, and after the last one."""
    stream = Stream(name, copy_of_state(start.state))
    sequence, is_broken = start.sequence, start.is_broken
    for _, _, record in found:
        sequence = record.sequence
        fact = None if is_broken else fact_of(record)
        if fact is not None:
            try:
                stream.evolve(fact, record)
            except Exception:  # noqa: BLE001  # as in the fold that follows the log
                is_broken = True
        if sequence % KEPT_EVERY_FACTS == 0:
            yield PastState(sequence, stream.state, is_broken)
            stream.state = copy_of_state(stream.state)
    if sequence % KEPT_EVERY_FACTS or sequence == start.sequence:
        yield PastState(sequence, stream.state, is_broken)


def copy_of_state(state: State) -> State:
    """A copy that shares nothing that a fold changes."""
    match state:
        case ModelState():
            return ModelState(
                state.name,
                _copy(state.model),
                state.versions.copy(),
                {number: _copy(release) for number, release in state.releases.items()},
                {repository: dict(built) for repository, built in state.built.items()},
                dict(state.authors),
            )
        case EnvironmentState():
            return EnvironmentState(state.name, _copy(state.environment))
        case AccessState():
            return AccessState(state.name, state.sequence, dict(state.grants), dict(state.tokens))


class KeptStates:
    """The states that were used most recently. Thread-safe."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._size_bytes = max_bytes, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[PastState, int]] = OrderedDict()
        self._sequences: dict[str, list[int]] = {}

    def newest(self, stream: str, sequence: int) -> PastState | None:
        """The last kept state of the stream up to this sequence; None when none is kept."""
        with self._lock:
            sequences = self._sequences.get(stream, [])
            at = bisect_right(sequences, sequence)
            if not at:
                return None
            key = (stream, sequences[at - 1])
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, stream: str, state: PastState) -> None:
        """Keeps a state, which nobody may change from now on."""
        key, size_bytes = (stream, state.sequence), _size_bytes(state.state)
        with self._lock:
            if key in self._kept or size_bytes > self._max_bytes:
                return
            self._kept[key] = state, size_bytes
            self._size_bytes += size_bytes
            insort(self._sequences.setdefault(stream, []), state.sequence)
            while self._size_bytes > self._max_bytes:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        (stream, sequence), (_, size_bytes) = self._kept.popitem(last=False)
        self._size_bytes -= size_bytes
        sequences = self._sequences[stream]
        sequences.remove(sequence)
        if not sequences:
            del self._sequences[stream]


def _size_bytes(state: State) -> int:
    match state:
        case ModelState():
            releases = sum(release.ByteSize() for release in state.releases.values())
            return STATE_BYTES + state.model.ByteSize() + state.versions.size_bytes() + releases
        case EnvironmentState():
            return STATE_BYTES + state.environment.ByteSize()
        case AccessState():
            return STATE_BYTES + state.access.ByteSize()


def _copy(resource: Resource) -> Resource:
    copied = type(resource)()
    copied.CopyFrom(resource)
    return copied
