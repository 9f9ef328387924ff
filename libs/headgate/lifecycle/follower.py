"""The fold that every service keeps: a thread follows the log, and readers can wait for a position or a change."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.fold import Fault, Fold
from headgate.lifecycle.replay import require_whole, without_cycle_collection
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
    """Is called for live records, and not for replayed ones. The calls come under the lock of the fold."""

    def folded(self, record: facts.LifecycleRecord, seconds: float) -> None:
        """The record was accepted and folded in this time."""
        ...

    def broke(self, record: facts.LifecycleRecord) -> None:
        """The record was accepted, but its fact is illegal. Its stream has stopped."""
        ...

    def voided(self) -> None:
        """A record was void."""
        ...

    def stopped(self, streams: int) -> None:
        """The number of stopped streams, including those that stopped in the replay."""
        ...

    def lost(self) -> None:
        """The log could not be read. The fold reads on from the same position."""
        ...


class LifecycleFold:
    """A Fold, and the thread that keeps it up to date with the log. Hold `lock` while you read the state."""

    def __init__(self, log: EventLog, observer: Observer | None = None) -> None:
        self.lock = threading.RLock()
        self.last_poll_monotonic = time.monotonic()
        self.lost = ""
        """Which facts are missing from the log; empty when none are. With missing facts no decision is allowed."""
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
    def access(self) -> AccessState:
        return self._fold.access

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
        """Per partition, the next offset to read."""
        with self.lock:
            return dict(self._fold.positions)

    def start(self) -> None:
        """Starts the thread, which reads from the first record."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stops the thread after its current poll."""
        self._thread.stop_soon()
        with self._changed:
            self._changed.notify_all()
            self._waiters.wake_all()
        self._thread.stop(5 * POLL_SECONDS)

    def trace_of(self, stream: str, subject: str) -> str:
        """W3C traceparent of the last fact about a version or release; empty when it was not traced."""
        with self.lock:
            found = self._fold.streams.get(stream)
            return found.traces.get(subject, "") if found is not None else ""

    def on_accepted(self, listener: Listener) -> None:
        """From now on calls the listener, under the lock, for every accepted record."""
        with self.lock:
            self._listeners.append(listener)

    def on_fault(self, listener: FaultListener) -> None:
        """From now on calls the listener, under the lock, for every record that no registry can have written."""
        with self.lock:
            self._fault_listeners.append(listener)

    def remove_listener(self, listener: Listener) -> None:
        with self.lock:
            self._listeners.remove(listener)

    def wait_caught_up(self, timeout_seconds: float) -> bool:
        """Waits until all records that were in the log at the start are folded. Raises RecordsLost."""
        is_caught_up = self._wait(lambda: bool(self.lost) or self._is_caught_up(), timeout_seconds)
        if self.lost:
            raise RecordsLost(self.lost)
        return is_caught_up

    def wait_position(self, partition: int, offset: int, timeout_seconds: float) -> bool:
        """Waits until the record at this position is folded, and returns whether it is."""
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
        """Waits until the revision differs from the given one. Returns the present revision."""
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
            logger.error("facts are missing from the log; no command is decided", extra={"error": lost})
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
            self._thread.on_stop(tail.stop_waiting)
            with without_cycle_collection():
                while not self._thread.is_stopping and not self._is_caught_up():
                    self._apply(tail.poll(POLL_SECONDS), self._fold.apply)
            fold: FoldOne = self._fold.apply
            if self._observer is not None:
                self._observer.stopped(self._fold.stopped_streams)
                fold = self._observed(self._observer)
            while not self._thread.is_stopping:
                tail.follow(lambda records: self._apply(records, fold), POLL_SECONDS)

    def _require_no_gap(self, records: Sequence[Record]) -> None:
        """Raises RecordsLost when records were deleted from a gap. Other gaps between offsets are allowed."""
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
                    for report in self._fault_listeners:
                        report(record, fault)
            self._changed.notify_all()
            self._waiters.wake(self._fold.positions)

    def _observed(self, observer: Observer) -> FoldOne:
        """A function that folds a record and reports it to the observer."""

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
