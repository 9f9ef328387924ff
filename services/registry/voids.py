"""Buries records of headgate.lifecycle that no registry can have written, so that operators see them.

Such a record is void for every fold and stays in the topic. The registry also writes a dead letter about it. A record
that lost the race for its sequence is void too, but it is no fault and is only counted.
"""

import logging
import random
from contextlib import suppress
from queue import Full, Queue
from typing import NamedTuple

from headgate.dead_letters.burials import Burials
from headgate.lifecycle.fold import Fault
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import EventLog, Record
from headgate.runtime.retrying import RetryingThread

MAX_WAITING = 50_000
"""Faulty records that wait for their burial. Further ones are left out, so that the fold never waits for a burial. The
next start finds them again."""
MAX_BATCH = 1_000
"""Faulty records whose dead letters are looked for at once."""
MAX_PAUSE_SECONDS = 0.5
"""Longest random pause before a burial. Several registries find the same record at the same time. Because of the pause
the second one usually sees the letter of the first."""
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class _FaultyRecord(NamedTuple):
    """Partition and offset of a faulty record, and its fault. The bytes are read again for the burial."""

    place: tuple[int, int]
    fault: Fault


class VoidBurials:
    """Buries the faulty records that the fold finds, from a thread of its own.

    Records that are not buried when the process ends are found again at the next start.
    """

    def __init__(self, log: EventLog, fold: LifecycleFold, burials: Burials) -> None:
        self._log = log
        self._burials = burials
        self._waiting: Queue[_FaultyRecord | None] = Queue(MAX_WAITING)
        self._overrun = False
        self._batch: list[_FaultyRecord] = []
        self._thread = RetryingThread("void-burials", self._bury_next, self._failed, RETRY_SECONDS)
        fold.on_fault(self._add)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Finishes the burial in progress and ends the thread."""
        self._thread.stop_soon()
        with suppress(Full):  # When the queue is full, the thread does not wait for it.
            self._waiting.put_nowait(None)
        self._thread.stop(grace_seconds)

    def _add(self, record: Record, fault: Fault) -> None:
        try:
            self._waiting.put_nowait(_FaultyRecord((record.partition, record.offset), fault))
            self._overrun = False
        except Full:
            if not self._overrun:
                logger.error("too many faulty records to bury now; the next start of a registry buries the rest")
            self._overrun = True

    def _bury_next(self) -> None:
        """Buries one batch. A batch that failed is kept and tried again."""
        self._batch = self._batch or self._next_batch()
        if self._batch:
            self._bury(self._batch)
        self._batch = []

    def _failed(self, error: Exception) -> None:
        logger.warning("dead letter not written; trying again", extra={"error": str(error)})

    def _next_batch(self) -> list[_FaultyRecord]:
        """Waits for a faulty record, then returns up to MAX_BATCH. May be empty when the thread must end."""
        batch = [self._waiting.get()]
        while len(batch) < MAX_BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return [faulty for faulty in batch if faulty is not None]

    def _bury(self, batch: list[_FaultyRecord]) -> None:
        """Buries those that have no dead letter yet. Raises LogError."""
        # At a start nearly all faulty records have a letter already. Those need no pause.
        new = self._burials.unburied(topics.LIFECYCLE, (faulty.place for faulty in batch))
        for faulty in batch:
            if faulty.place not in new:
                continue
            if self._thread.pause(random.uniform(0, MAX_PAUSE_SECONDS)):
                return
            if (record := self._record(*faulty.place)) is not None:
                self._burials.bury(record, faulty.fault.code, faulty.fault.reason)

    def _record(self, partition: int, offset: int) -> Record | None:
        records = self._log.read(topics.LIFECYCLE, partition, offset, 1)
        return records[0] if records and records[0].offset == offset else None
