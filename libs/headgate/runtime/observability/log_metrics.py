"""Metrics about a process and the log: the facts that its fold accepts, and how far its readers are behind."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from headgate.domain.fact import FIELD_OF
from headgate.log.port import EventLog
from headgate.runtime.log_clock import LogClock
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.retrying import RetryingThread
from headgate.v1 import facts_pb2 as facts

MEASURE_SECONDS = 5.0
"""How often the lag is measured. Each time reads one record of every partition that is behind."""
UNKNOWN = "Unknown"

logger = logging.getLogger(__name__)
_NAME_OF = {field: name for name, field in FIELD_OF.items()}


class FoldMetrics:
    """Counts what a LifecycleFold does after its replay: facts, their errors, duration and age, and void records."""

    def __init__(self, metrics: Metrics, clock: LogClock) -> None:
        self._clock = clock
        self._facts = metrics.counter("headgate_facts_total")
        self._errors = metrics.counter("headgate_fact_errors_total")
        self._duration = metrics.histogram("headgate_fact_duration_seconds")
        self._age = metrics.histogram("headgate_fact_age_seconds").labels()
        self._void = metrics.counter("headgate_void_records_total").labels()
        self._lost = metrics.counter("headgate_log_errors_total").labels()
        self._stopped = metrics.gauge("headgate_streams_stopped").labels()

    def folded(self, record: facts.LifecycleRecord, seconds: float) -> None:
        """An accepted fact was folded, in `seconds`."""
        name = fact_name(record)
        self._facts.labels(name).inc()
        self._duration.labels(name).observe(seconds)
        self._age.observe(self._clock.age_seconds(record.occurred_at_ms))

    def broke(self, record: facts.LifecycleRecord) -> None:
        """An accepted fact was illegal, and its stream stopped."""
        self._errors.labels(fact_name(record)).inc()

    def voided(self) -> None:
        """A record did not follow the head of its stream."""
        self._void.inc()

    def lost(self) -> None:
        """The log could not be read, and the reader starts again."""
        self._lost.inc()

    def stopped(self, streams: int) -> None:
        """This many streams are stopped now, including those that stopped during the replay."""
        self._stopped.set(streams)


def fact_name(record: facts.LifecycleRecord) -> str:
    """The fact's type, for example VersionCreated."""
    return _NAME_OF.get(record.WhichOneof("fact") or "", UNKNOWN)


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of a topic: its name, and for each partition the offset of the next record that it reads."""

    name: str
    topic: str
    positions: Callable[[], Mapping[int, int]]


class LagWatch:
    """Measures every MEASURE_SECONDS, in its own thread, how far each reader is behind the end of its topic."""

    def __init__(self, log: EventLog, metrics: Metrics, readers: Iterable[Reader], clock: LogClock) -> None:
        self._log = log
        self._clock = clock
        self._readers = list(readers)
        self._records = metrics.gauge("headgate_log_lag_records")
        self._seconds = metrics.gauge("headgate_log_lag_seconds")
        self._thread = RetryingThread("lag", self._watch, self._failed, MEASURE_SECONDS)

    def add(self, reader: Reader) -> None:
        """Adds a reader. Call it before `start`."""
        self._readers.append(reader)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stops measuring. A measurement that is running may still end."""
        self._thread.stop_soon()

    def measure(self) -> None:
        """Measures once. Raises LogError."""
        for reader in self._readers:
            positions = reader.positions()
            behind = {
                partition: (positions.get(partition, 0), end)
                for partition, end in self._log.end(reader.topic).items()
                if positions.get(partition, 0) < end
            }
            ages = (self._age_seconds(reader.topic, at, start) for at, (start, _) in behind.items())
            self._records.labels(reader.topic, reader.name).set(sum(end - start for start, end in behind.values()))
            self._seconds.labels(reader.topic, reader.name).set(max(ages, default=0.0))

    def _age_seconds(self, topic: str, partition: int, offset: int) -> float:
        found = self._log.read(topic, partition, offset, limit=1)
        return self._clock.age_seconds(found[0].timestamp_ms) if found else 0.0

    def _watch(self) -> None:
        self.measure()
        self._thread.pause(MEASURE_SECONDS)

    def _failed(self, error: Exception) -> None:
        """Keeps the last values: while the log does not answer, the lag is unknown."""
        logger.debug("the lag is unknown", extra={"error": str(error)})
