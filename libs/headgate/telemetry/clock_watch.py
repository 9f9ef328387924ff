"""Keeps a service's log clock right, and reports when the clock of its host differs from the log's time.

It writes a small record to telemetry now and then. The log answers with the time that it gave to this record.
"""

import logging
import time
from collections.abc import Callable, Iterator

from headgate.log.port import LogUnavailable, OutcomeUnknown
from headgate.runtime.clock import now_ms
from headgate.runtime.log_clock import MS_PER_SECOND, LogClock
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.runtime.retrying import RetryingThread
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import telemetry_pb2 as telemetry

PROBE_SECONDS = 10.0
"""Between two records that ask for the log's time."""
FIRST_PROBE_SECONDS = 60.0
"""How long a worker waits at its start for a log that does not take its first record."""
RETRY_SECONDS = 0.5
SKEW_LIMIT_SECONDS = 2.0
"""A host's clock that differs more than this from the log's time is reported. The alert has the same limit."""
CLOCK_KEY = "clock"
"""One key for all services. So one broker gives all these times, and brokers with different clocks do no harm."""
SKEW = "headgate_clock_skew_seconds"

logger = logging.getLogger(__name__)


class ClockWatch:
    """Asks for the log's time every PROBE_SECONDS, in a thread of its own."""

    def __init__(
        self, clock: LogClock, writer: TelemetryWriter, metrics: Metrics, wall_ms: Callable[[], int] = now_ms
    ) -> None:
        self._clock = clock
        self._writer = writer
        self._wall_ms = wall_ms
        self._is_off = False
        self._thread = RetryingThread("clock", self._watch, self._failed, RETRY_SECONDS)
        metrics.read_at_scrape([SKEW], self._readings)

    def await_time(self, timeout_seconds: float = FIRST_PROBE_SECONDS) -> None:
        """Waits until the log's time is known. Raises LogUnavailable, LogRefused."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                return self.probe()
            except LogUnavailable:
                if time.monotonic() > deadline or self._thread.pause(RETRY_SECONDS):
                    raise

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def stop_soon(self) -> None:
        """Asks no more. Does not wait."""
        self._thread.stop_soon()

    def probe(self) -> None:
        """Asks for the log's time once. Raises LogUnavailable, LogRefused."""
        sent_at = self._clock.monotonic()
        try:
            position = self._writer.send(CLOCK_KEY, clock_probe=telemetry.ClockProbe())
        except (LogUnavailable, OutcomeUnknown) as error:
            self._clock.failed(str(error))
            raise LogUnavailable(f"the log's time cannot be asked for: {error}") from error
        moved = self._clock.observe(position.timestamp_ms, sent_at, self._clock.monotonic())
        if abs(moved) > SKEW_LIMIT_SECONDS:
            ahead = f"{abs(moved):.1f} s {'forward' if moved > 0 else 'back'}"
            logger.warning("the log's time was set %s; all durations follow it", ahead, extra={"seconds": moved})
        self._report()

    def skew_seconds(self) -> float:
        """The clock of this host less the log's time; positive when the host is ahead. Raises LogTimeUnknown."""
        return (self._wall_ms() - self._clock.now_ms()) / MS_PER_SECOND

    def _watch(self) -> None:
        self.probe()
        self._thread.pause(PROBE_SECONDS)

    def _failed(self, error: Exception) -> None:
        """The log's failed appends are logged and counted where they happen. The clock runs on meanwhile."""
        logger.debug("the log's time is not renewed", extra={"error": str(error)})

    def _report(self) -> None:
        """One line when the host's clock begins to differ too much, and one when it no longer does."""
        skew = self.skew_seconds()
        is_off = abs(skew) > SKEW_LIMIT_SECONDS
        if is_off and not self._is_off:
            logger.warning(
                "the clock of this host is %s the log's time; no decision uses it, but set it right",
                in_words(skew),
                extra={"skew_seconds": skew},
            )
        elif self._is_off and not is_off:
            logger.info("the clock of this host agrees with the log's time again", extra={"skew_seconds": skew})
        self._is_off = is_off

    def _readings(self) -> Iterator[Reading]:
        if self._clock.is_known():
            yield Reading(SKEW, (), self.skew_seconds())


def in_words(skew_seconds: float) -> str:
    """The skew for a sentence, for example `6.0 s ahead of`."""
    return f"{abs(skew_seconds):.1f} s {'ahead of' if skew_seconds > 0 else 'behind'}"
