"""Consumes one topic as a member of a group, one record after the other, and commits each after its effect."""

import logging
from collections.abc import Callable, Mapping

from headgate.dead_letters.burials import Burials
from headgate.log.port import EventLog, LogError, Record, RecordTooLarge, StaleMember
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.retrying import RetryingThread

POLL_SECONDS = 0.5
MAX_TRIES = 3
"""How often a failing record is handled. Then it is buried, because it would block all records behind it."""
RETRY_SECONDS = 0.2
MAX_CONTENTIONS = 50
"""How often a record is handled while other writers win. Then the member joins the group again."""

logger = logging.getLogger(__name__)


class Contended(Exception):
    """Other writers of the stream won too often. The same record or call may succeed later."""


class Intake:
    """One member of a consumer group.

    `handle` raises LogError or Contended when a later try may succeed. After any other error the record is buried.
    """

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
        self._thread = RetryingThread(f"intake-{topic}", self._consume, self._failed, temporary=(LogError, Contended))

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def positions(self) -> Mapping[int, int]:
        """For each partition, the offset of the next record that the group reads. Raises LogError."""
        return self._log.committed(self.topic, self._group)

    def stop_soon(self) -> None:
        """Takes no more records. Does not wait."""
        self._thread.stop_soon()

    def stop(self, grace_seconds: float) -> None:
        """Finishes and commits the current record, and leaves the group, within the grace."""
        self._thread.stop(grace_seconds)

    def _failed(self, error: Exception) -> None:
        """Logs and counts the error. The current record was not committed, so it is delivered again."""
        logger.warning("intake interrupted; joining the group again", extra={"topic": self.topic, "error": str(error)})
        self._lost.inc()

    def _consume(self) -> None:
        with self._log.consumer(self.topic, self._group, self._member) as consumer:
            self._thread.on_stop(consumer.stop_waiting)
            while not self._thread.is_stopping:
                for record in consumer.poll(POLL_SECONDS):
                    if self._thread.is_stopping:
                        return
                    self._handle_despite_contention(record)
                    try:
                        consumer.commit([record])
                    except StaleMember:
                        return

    def _handle_despite_contention(self, record: Record) -> None:
        """Tries again while other writers win. Leaving the group instead would interrupt its other members too."""
        for _ in range(MAX_CONTENTIONS):
            try:
                return self._handle_or_bury(record)
            except Contended:
                if self._thread.pause(RETRY_SECONDS):
                    raise
        raise Contended(f"other writers won {MAX_CONTENTIONS} times in a row")

    def _handle_or_bury(self, record: Record) -> None:
        """Returns once the record has had its effect or is buried. Raises LogError and Contended."""
        for tries in range(1, MAX_TRIES + 1):
            try:
                return self._handle(record)
            except (LogError, Contended) as error:
                if not isinstance(error, RecordTooLarge):
                    raise
                reason = str(error)
            except Exception as error:  # any error of one record must not block the records behind it
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                logger.exception("handler failed", extra={**where, "tries": tries})
                reason = f"{type(error).__name__}: {error}"
            self._thread.pause(RETRY_SECONDS)
        self._burials.bury(record, "handler-failed", f"{MAX_TRIES} tries: {reason}")
