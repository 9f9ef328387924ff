"""The past of a log: the states of its streams at a moment, folded from the facts up to then.

It reads a log and a fold of it, so it works wherever both are: in a service that follows a live log, and over the file
of an exported one. The states are the same as those of the fold, and nobody may change them.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import NamedTuple, Protocol

from headgate.domain.names import ACCESS_STREAM, environment_stream, model_stream
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.moment import AtPositions, AtTime, Moment, sequence_at
from headgate.lifecycle.past_states import KeptStates, PastState, State, copy_of_state, first_state, fold_on
from headgate.lifecycle.records import Found, records_at
from headgate.lifecycle.stream import Stream
from headgate.log.envelope import digest
from headgate.log.port import EventLog
from headgate.v1 import registry_service_pb2 as registry_service

MAX_FACTS = 200_000
"""The most facts that one read of the past folds. What it has folded is kept as far as there is room."""
MAX_FOLDS = 2
"""Reads that fold at the same time. Others wait, so that the past takes no more of a service than this."""


class FactsLimit(Exception):
    """One read of the past would fold more than MAX_FACTS facts."""


class Streams(Protocol):
    """A fold of the log: LifecycleFold is one."""

    @property
    def lock(self) -> AbstractContextManager[object]: ...

    @property
    def streams(self) -> Mapping[str, Stream]: ...


class FactAt(NamedTuple):
    """When and where a fact was accepted. `Past.record` has what it says."""

    time_ms: int
    stream: str
    sequence: int
    partition: int
    offset: int


class Past:
    """All moments of a log. Thread-safe."""

    def __init__(self, log: EventLog, fold: Streams) -> None:
        self._log, self._fold = log, fold
        self._kept = KeptStates()
        self._folds = threading.Semaphore(MAX_FOLDS)

    def at(self, moment: Moment) -> "Then":
        """The log as it was at a moment. Nothing is folded until a state is asked for."""
        return Then(self, moment)

    def sequences(self, moment: Moment) -> dict[str, int]:
        """The sequence of the last fact of each stream that had one at the moment."""
        with self._fold.lock:
            found = ((name, sequence_at(stream, moment)) for name, stream in self._fold.streams.items())
            return {name: sequence for name, sequence in found if sequence}

    def sequence(self, name: str, moment: Moment) -> int:
        """The sequence of the stream's last fact at the moment; 0 when it had none."""
        with self._fold.lock:
            stream = self._fold.streams.get(name)
            return sequence_at(stream, moment) if stream is not None else 0

    def span(self) -> tuple[int, int] | None:
        """The times of the first and the last fact, in ms since the epoch; None when there is no fact."""
        with self._fold.lock:
            times = [stream.times_ms for stream in self._fold.streams.values() if stream.sequence]
            return (min(each[0] for each in times), max(each[-1] for each in times)) if times else None

    def facts(self, stream: str = "") -> list[FactAt]:
        """All facts of one stream, or of all streams, by time."""
        with self._fold.lock:
            wanted = self._fold.streams.values() if not stream else filter(None, [self._fold.streams.get(stream)])
            return sorted(
                FactAt(time_ms, each.name, sequence, each.partition, offset)
                for each in wanted
                for sequence, (time_ms, offset) in enumerate(zip(each.times_ms, each.offsets, strict=True), start=1)
            )

    def records(self, stream: str, after: int, last: int) -> Iterator[Found]:
        """The facts of a stream with the sequences from `after` + 1 to `last`. Raises LogError."""
        with self._fold.lock:
            found = self._fold.streams.get(stream)
            places = [] if found is None else [(found.partition, offset) for offset in found.offsets[after:last]]
        return records_at(self._log, places)

    def state(self, stream: str, sequence: int, budget: "Budget") -> State:
        """The state of a stream after its fact with this sequence. Raises LogError and FactsLimit."""
        found = self._kept.newest(stream, sequence)
        if found is not None and found.sequence == sequence:
            return found.state
        with self._folds:
            found = self._live(stream, sequence) or self._folded(stream, sequence, budget)
        return found.state

    def _live(self, stream: str, sequence: int) -> PastState | None:
        """A copy of the present state, when it has this sequence."""
        with self._fold.lock:
            live = self._fold.streams[stream]
            if live.sequence != sequence:
                return None
            found = PastState(sequence, copy_of_state(live.state), bool(live.broken))
        self._kept.keep(stream, found)
        return found

    def _folded(self, stream: str, sequence: int, budget: "Budget") -> PastState:
        found = start = self._kept.newest(stream, sequence) or first_state(stream)
        budget.take(sequence - start.sequence)
        for state in fold_on(stream, start, self.records(stream, start.sequence, sequence)):
            self._kept.keep(stream, state)
            found = state
        return found


class Budget:
    """How many facts a read may still fold."""

    def __init__(self) -> None:
        self._facts = MAX_FACTS

    def take(self, facts: int) -> None:
        """Raises FactsLimit when so many are not left."""
        if facts > self._facts:
            raise FactsLimit(f"this read of the past would fold more than {MAX_FACTS} facts")
        self._facts -= facts


class Then:
    """A log as it was at one moment. Each state is folded when it is asked for. Raises LogError and FactsLimit.

    The last fact of each stream is settled when it is first asked for, whatever is appended meanwhile. For one thread.
    """

    def __init__(self, past: Past, moment: Moment) -> None:
        self.moment = moment
        self.past = past
        self._settled: dict[str, int] = {}
        self._budget = Budget()

    def sequence(self, stream: str) -> int:
        """The sequence of the stream's last fact; 0 when it had none."""
        found = self._settled.get(stream)
        if found is None:
            found = self._settled[stream] = self.past.sequence(stream, self.moment)
        return found

    @cached_property
    def sequences(self) -> Mapping[str, int]:
        """The sequence of the last fact of each stream that had one."""
        found = {**self.past.sequences(self.moment), **self._settled}
        self._settled = found
        return {name: sequence for name, sequence in found.items() if sequence}

    def model(self, name: str) -> ModelState | None:
        """The model, its versions and releases; None before its first fact."""
        state = self.state_of(model_stream(name))
        return state if isinstance(state, ModelState) and state.exists else None

    def environment(self, name: str) -> EnvironmentState | None:
        """The environment; None before its first fact."""
        state = self.state_of(environment_stream(name))
        return state if isinstance(state, EnvironmentState) and state.exists else None

    @property
    def access(self) -> AccessState:
        """Who could do what."""
        state = self.state_of(ACCESS_STREAM)
        return state if isinstance(state, AccessState) else AccessState("default")

    def models(self) -> Iterator[ModelState]:
        """All models, by name. Each is folded when its turn comes."""
        return filter(None, map(self.model, self.names("models/")))

    def environments(self) -> Iterator[EnvironmentState]:
        """All environments, by name."""
        return filter(None, map(self.environment, self.names("environments/")))

    def names(self, kind: str) -> list[str]:
        """The short names of all streams whose names begin like this, such as models/."""
        return sorted(name.removeprefix(kind) for name in self.sequences if name.startswith(kind))

    def digest(self) -> registry_service.FoldDigest:
        """Heads and state digests of all streams, as a fold that ended then has them; void records are not counted."""
        return registry_service.FoldDigest(streams=map(self._digest, sorted(self.sequences)))

    def _digest(self, name: str) -> registry_service.StreamDigest:
        sequence, state = self.sequence(name), self.state_of(name)
        assert state is not None, f"{name} had facts"
        (head,) = self.past.records(name, sequence - 1, sequence)
        return registry_service.StreamDigest(
            stream=name,
            sequence=sequence,
            head_digest=digest(head.value),
            state_digest=state_digest(Stream(name, state)),
        )

    def state_of(self, stream: str) -> State | None:
        """The state of a stream by its whole name; None before its first fact."""
        sequence = self.sequence(stream)
        return self.past.state(stream, sequence, self._budget) if sequence else None


__all__ = ["AtPositions", "AtTime", "FactAt", "FactsLimit", "Past", "Then"]
