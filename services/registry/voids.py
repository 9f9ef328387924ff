"""Records of headgate.lifecycle that no registry can have written, brought before an operator.

They are void for every fold and stay where they are; the registry, which owns the topic, also writes a dead letter
about each. A record that lost a race for its sequence is void too, but nothing is wrong with it: it is only counted.
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
"""Faults found and not buried yet. Those beyond it are found again at the next start: the fold waits for no burial."""
MAX_BATCH = 1_000
"""Faults whose letters are looked for together."""
MAX_PAUSE_SECONDS = 0.5
"""Registries that find the same record take turns by chance, so that the second one sees the letter of the first."""
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class _Found(NamedTuple):
    """Where a faulty record stands; its bytes stay in the log."""

    place: tuple[int, int]
    fault: Fault


class VoidBurials:
    """Buries from its own thread what the fold finds; what is not buried at the end is found again at the start."""

    def __init__(self, log: EventLog, fold: LifecycleFold, burials: Burials) -> None:
        self._log = log
        self._burials = burials
        self._waiting: Queue[_Found | None] = Queue(MAX_WAITING)
        self._overrun = False
        self._batch: list[_Found] = []
        self._thread = RetryingThread("void-burials", self._bury_next, self._failed, RETRY_SECONDS)
        fold.on_fault(self._found)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Finishes the burial in hand."""
        self._thread.stop_soon()
        with suppress(Full):  # when it is full, nobody waits for it
            self._waiting.put_nowait(None)
        self._thread.stop(grace_seconds)

    def _found(self, record: Record, fault: Fault) -> None:
        try:
            self._waiting.put_nowait(_Found((record.partition, record.offset), fault))
            self._overrun = False
        except Full:
            if not self._overrun:
                logger.error("more faulty records than can be buried; the next start finds them again")
            self._overrun = True

    def _bury_next(self) -> None:
        """A batch that failed is kept and tried again."""
        self._batch = self._batch or self._next_batch()
        if self._batch:
            self._bury(self._batch)
        self._batch = []

    def _failed(self, error: Exception) -> None:
        logger.warning("dead letter not written; trying again", extra={"error": str(error)})

    def _next_batch(self) -> list[_Found]:
        """What waits, up to MAX_BATCH, once there is anything; it may be empty when the thread is to end."""
        batch = [self._waiting.get()]
        while len(batch) < MAX_BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return [found for found in batch if found is not None]

    def _bury(self, batch: list[_Found]) -> None:
        """Raises LogError; what was buried before is not buried again."""
        # At a start the letters are there about nearly all that the replay finds: those need no pause.
        new = self._burials.unburied(topics.LIFECYCLE, (found.place for found in batch))
        for found in batch:
            if found.place not in new:
                continue
            if self._thread.pause(random.uniform(0, MAX_PAUSE_SECONDS)):
                return
            if (record := self._record(*found.place)) is not None:
                self._burials.bury(record, found.fault.code, found.fault.reason)

    def _record(self, partition: int, offset: int) -> Record | None:
        records = self._log.read(topics.LIFECYCLE, partition, offset, 1)
        return records[0] if records and records[0].offset == offset else None
