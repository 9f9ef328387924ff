"""Consumes one topic as a member of a group, one record at a time. The commit follows the effect."""

import logging
from collections.abc import Callable, Mapping

from headgate.dead_letters.burials import Burials
from headgate.log.port import EventLog, LogError, Record, RecordTooLarge, StaleMember
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.retrying import RetryingThread

POLL_SECONDS = 0.5
MAX_TRIES = 3
"""Tries of one record that makes its handler fail; then it is buried, or it would stop everything behind it."""
RETRY_SECONDS = 0.2
MAX_CONTENTIONS = 50
"""Tries of one record while other writers win, before the group is joined anew."""

logger = logging.getLogger(__name__)


class Contended(Exception):
    """Other writers of the same stream won for too long; the same record or call may succeed later."""


class Intake:
    """One member of a consumer group. `handle` raises LogError and Contended for what may pass; all else is buried."""

    def __init__(
        self,
        log: EventLog,
        topic: str,
        group: str,
        member: str,
        handle: Callable[[Record], None],
        burials: Burials,
        metrics: Metrics,
    ) -> None:
        self.topic = topic
        self._log = log
        self._lost = metrics.counter("headgate_log_errors_total").labels()
        self._group, self._member = group, member
        self._handle = handle
        self._burials = burials
        self._thread = RetryingThread(f"intake-{topic}", self._consume, self._failed, passing=(LogError, Contended))

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def positions(self) -> Mapping[int, int]:
        """Per partition, the offset the group reads on from. Raises LogError."""
        return self._log.committed(self.topic, self._group)

    def stop_soon(self) -> None:
        """Takes no further record; does not wait."""
        self._thread.stop_soon()

    def stop(self, grace_seconds: float) -> None:
        """Finishes the record in hand, commits it and leaves the group."""
        self._thread.stop(grace_seconds)

    def _failed(self, error: Exception) -> None:
        """Nothing was committed for the current record, so it comes again."""
        logger.warning("intake interrupted; joining again", extra={"topic": self.topic, "error": str(error)})
        self._lost.inc()

    def _consume(self) -> None:
        with self._log.consumer(self.topic, self._group, self._member) as consumer:
            while not self._thread.is_stopping:
                for record in consumer.poll(POLL_SECONDS):
                    if self._thread.is_stopping:
                        return
                    self._handle_in_turn(record)
                    try:
                        consumer.commit([record])
                    except StaleMember:
                        return

    def _handle_in_turn(self, record: Record) -> None:
        """Waits for other writers of the stream: leaving the group instead would stop its other members too."""
        for _ in range(MAX_CONTENTIONS):
            try:
                return self._handle_or_bury(record)
            except Contended:
                if self._thread.pause(RETRY_SECONDS):
                    raise
        raise Contended(f"other writers won {MAX_CONTENTIONS} times in a row")

    def _handle_or_bury(self, record: Record) -> None:
        """Returns once the record has had its effect or is buried. Raises LogError and Contended: those pass."""
        for tries in range(1, MAX_TRIES + 1):
            try:
                return self._handle(record)
            except (LogError, Contended) as error:
                if not isinstance(error, RecordTooLarge):
                    raise
                reason = str(error)
            except Exception as error:  # whatever a record does to its handler, those behind it are handled
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                logger.exception("handler failed", extra={**where, "tries": tries})
                reason = f"{type(error).__name__}: {error}"
            self._thread.pause(RETRY_SECONDS)
        self._burials.bury(record, "handler-failed", f"{MAX_TRIES} tries: {reason}")
