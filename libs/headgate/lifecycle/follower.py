"""The fold that every service keeps current: a thread follows the log, readers wait for what they need."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.domain.state import EnvironmentState, ModelState
from headgate.lifecycle.fold import Fault, Fold
from headgate.lifecycle.replay import cycles_kept, require_whole
from headgate.lifecycle.stream import Stream
from headgate.lifecycle.waiters import Waiters
from headgate.log import topics
from headgate.log.port import EventLog, Record, RecordsLost
from headgate.runtime.retrying import RetryingThread
from headgate.v1 import facts_pb2 as facts

POLL_SECONDS = 0.5

logger = logging.getLogger(__name__)
Listener = Callable[[Record, facts.LifecycleRecord], None]
FaultListener = Callable[[Record, Fault], None]
FoldOne = Callable[[Record], facts.LifecycleRecord | None]


class Observer(Protocol):
    """Hears what happens to live records, never to replayed ones, under the fold's lock."""

    def folded(self, record: facts.LifecycleRecord, seconds: float) -> None:
        """Accepted and folded in this time."""
        ...

    def broke(self, record: facts.LifecycleRecord) -> None:
        """Accepted, but illegal: its stream has stopped."""
        ...

    def voided(self) -> None:
        """Did not follow its head."""
        ...

    def stopped(self, streams: int) -> None:
        """So many streams are stopped, those of the replay included."""
        ...

    def lost(self) -> None:
        """The log could not be read; the fold begins again where it was."""
        ...


class LifecycleFold:
    """A Fold kept current by a thread that tails the log. Hold `lock` while reading the state."""

    def __init__(self, log: EventLog, observer: Observer | None = None) -> None:
        self.lock = threading.RLock()
        self.last_poll_monotonic = time.monotonic()
        self.lost = ""
        """Which facts are gone from the log; empty while it is whole. Nothing may be decided on such a fold."""
        self._log = log
        self._observer = observer
        self._fold = Fold()
        self._changed = threading.Condition(self.lock)
        self._listeners: list[Listener] = []
        self._fault_listeners: list[FaultListener] = []
        self._waiters = Waiters()
        self._targets: dict[int, int] | None = None
        self._thread = RetryingThread("lifecycle-fold", self._tail, self._failed)

    @property
    def models(self) -> dict[str, ModelState]:
        return self._fold.models

    @property
    def environments(self) -> dict[str, EnvironmentState]:
        return self._fold.environments

    @property
    def streams(self) -> dict[str, Stream]:
        return self._fold.streams

    @property
    def accepted(self) -> dict[int, int]:
        return self._fold.accepted

    @property
    def revision(self) -> int:
        return self._fold.revision

    @property
    def void_records(self) -> int:
        return self._fold.void_records

    def positions(self) -> dict[int, int]:
        """Per partition, the offset to read on from."""
        with self.lock:
            return dict(self._fold.positions)

    def start(self) -> None:
        """Begins to tail from the first record."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stops the thread within a poll."""
        self._thread.stop_soon()
        with self._changed:
            self._changed.notify_all()
            self._waiters.wake_all()
        self._thread.stop(5 * POLL_SECONDS)

    def trace_of(self, stream: str, subject: str) -> str:
        """W3C traceparent of the last fact about a version or release; empty when nobody traced it."""
        with self.lock:
            found = self._fold.streams.get(stream)
            return found.traces.get(subject, "") if found is not None else ""

    def on_accepted(self, listener: Listener) -> None:
        """Calls the listener, under the lock, for every record accepted from now on."""
        with self.lock:
            self._listeners.append(listener)

    def on_fault(self, listener: FaultListener) -> None:
        """Calls the listener, under the lock, for every record that no registry can have written."""
        with self.lock:
            self._fault_listeners.append(listener)

    def remove_listener(self, listener: Listener) -> None:
        with self.lock:
            self._listeners.remove(listener)

    def wait_caught_up(self, timeout_seconds: float) -> bool:
        """Waits until everything that was in the log at the start is folded. Raises RecordsLost."""
        is_caught_up = self._wait(lambda: bool(self.lost) or self._is_caught_up(), timeout_seconds)
        if self.lost:
            raise RecordsLost(self.lost)
        return is_caught_up

    def wait_position(self, partition: int, offset: int, timeout_seconds: float) -> bool:
        """Waits until the record at this position has been folded."""
        with self.lock:
            is_folded = self._fold.positions.get(partition, 0) > offset
            if is_folded or self._thread.is_stopping:
                return is_folded
            waiter = self._waiters.add(partition, offset)
        waiter.over.wait(timeout_seconds)
        with self.lock:
            self._waiters.remove(waiter)
            return self._fold.positions.get(partition, 0) > offset

    def wait_change(self, revision: int, timeout_seconds: float) -> int:
        """Waits until the revision differs from the given one; answers the present revision."""
        self._wait(lambda: self._fold.revision != revision, timeout_seconds)
        return self._fold.revision

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._thread.is_stopping or condition(), timeout_seconds)
            return condition()

    def _is_caught_up(self) -> bool:
        if self._targets is None:
            return False
        return all(self._fold.positions.get(partition, 0) >= end for partition, end in self._targets.items())

    def _failed(self, error: Exception) -> None:
        if isinstance(error, RecordsLost):
            return self._note_loss(str(error))
        logger.warning("the log cannot be read; trying again", extra={"error": str(error)})
        if self._observer is not None:
            self._observer.lost()

    def _note_loss(self, lost: str) -> None:
        if lost and lost != self.lost:
            logger.error("the log is not whole; nothing is decided", extra={"error": lost})
        with self._changed:
            self.lost = lost
            self._changed.notify_all()

    def _tail(self) -> None:
        ends = dict(self._log.end(topics.LIFECYCLE))
        start = {partition: self._fold.positions.get(partition, 0) for partition in ends}
        require_whole(self._log, start)
        for partition, reached in start.items():
            if ends[partition] < reached:
                raise RecordsLost(f"{topics.LIFECYCLE}/{partition} ends at {ends[partition]}, before {reached}")
        self._note_loss("")
        with self._changed:
            self._targets = self._targets or ends
            self._changed.notify_all()
        with self._log.tail(topics.LIFECYCLE, start) as tail:
            with cycles_kept():
                while not self._thread.is_stopping and not self._is_caught_up():
                    self._apply(tail.poll(POLL_SECONDS), self._fold.apply)
            fold: FoldOne = self._fold.apply
            if self._observer is not None:
                self._observer.stopped(self._fold.stopped_streams)
                fold = self._observed(self._observer)
            while not self._thread.is_stopping:
                tail.follow(lambda records: self._apply(records, fold), POLL_SECONDS)

    def _require_no_gap(self, records: Sequence[Record]) -> None:
        """Offsets may leave gaps; a gap that deleted records left is another matter. Raises RecordsLost."""
        expected = dict(self._fold.positions)
        for record in records:
            if record.offset > expected.get(record.partition, 0):
                require_whole(self._log, self._fold.positions)
                return
            expected[record.partition] = record.offset + 1

    def _apply(self, records: Sequence[Record], fold: FoldOne) -> None:
        self.last_poll_monotonic = time.monotonic()
        if not records:
            return
        self._require_no_gap(records)
        with self._changed:
            for record in records:
                accepted = fold(record)
                if accepted is not None:
                    for listener in self._listeners:
                        listener(record, accepted)
                fault, self._fold.fault = self._fold.fault, None
                if fault is not None:
                    for tell in self._fault_listeners:
                        tell(record, fault)
            self._changed.notify_all()
            self._waiters.wake(self._fold.positions)

    def _observed(self, observer: Observer) -> FoldOne:
        """Folds a record and tells the observer."""

        def fold(record: Record) -> facts.LifecycleRecord | None:
            stopped = self._fold.stopped_streams
            started = time.perf_counter()
            accepted = self._fold.apply(record)
            seconds = time.perf_counter() - started
            if accepted is None:
                observer.voided()
                return None
            observer.folded(accepted, seconds)
            if self._fold.stopped_streams != stopped:
                observer.broke(accepted)
                observer.stopped(self._fold.stopped_streams)
            return accepted

        return fold
