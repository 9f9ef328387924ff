"""The log of a service, with its failed appends counted and logged."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from headgate.log.port import EventLog, LogRefused, LogUnavailable, Message, OutcomeUnknown, Position
from headgate.runtime.observability.metrics import Metrics

logger = logging.getLogger(__name__)


class ObservedLog:
    """Passes every call on. Counts failed appends, and logs once when they begin and once when appends work again.

    A full disk is no fault of one call, so the line is written here and not by each caller.
    """

    def __init__(self, log: EventLog, metrics: Metrics) -> None:
        self._log = log
        self._errors = metrics.counter("headgate_log_errors_total").labels()
        self._lock = threading.Lock()
        self._is_failing = False
        self._closed = False
        self.create_topics, self.describe_topics = log.create_topics, log.describe_topics
        self.read, self.values, self.end, self.offsets_at = log.read, log.values, log.end, log.offsets_at
        self.tail, self.consumer, self.committed = log.tail, log.consumer, log.committed

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        with self._observed():
            return self._log.append(message, timeout_seconds)

    def append_all(self, messages: Sequence[Message], timeout_seconds: float = 10.0) -> list[Position]:
        with self._observed():
            return self._log.append_all(messages, timeout_seconds)

    def close(self) -> None:
        self._closed = True
        self._log.close()

    @contextmanager
    def _observed(self) -> Iterator[None]:
        try:
            yield
        except (LogUnavailable, LogRefused, OutcomeUnknown) as error:
            self._failed(error)
            raise
        if self._is_failing:
            self._works_again()

    def _failed(self, error: Exception) -> None:
        with self._lock:
            if self._closed:
                return
            self._errors.inc()
            if not self._is_failing:
                self._is_failing = True
                logger.error("the log takes no records", extra={"error": str(error)})

    def _works_again(self) -> None:
        with self._lock:
            if self._is_failing:
                self._is_failing = False
                logger.info("the log takes records again")
