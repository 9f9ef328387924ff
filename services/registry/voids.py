"""Records of headgate.lifecycle that no registry can have written, brought before an operator.

They are void for every fold and stay where they are; the registry, which owns the topic, also writes a dead letter
about each. A record that lost a race for its sequence is void too, but nothing is wrong with it: it is only counted.
"""

import logging
import random
import threading
from queue import Empty, Full, Queue

from headgate.log.fold import Fault, LifecycleFold
from headgate.log.port import LogError, Record
from headgate.worker.dead_letters import Burials

MAX_WAITING = 1_000
"""Faults found and not buried yet; then the fold waits, as for any log that is away."""
MAX_PAUSE_SECONDS = 0.5
"""Registries that find the same record take turns by chance, so that the second one sees the letter of the first."""
RETRY_SECONDS = 0.5
POLL_SECONDS = 0.2

logger = logging.getLogger(__name__)


class VoidBurials:
    """Buries from its own thread what the fold finds; what is not buried at the end is found again at the start."""

    def __init__(self, fold: LifecycleFold, burials: Burials) -> None:
        self._burials = burials
        self._waiting: Queue[tuple[Record, Fault]] = Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="void-burials", daemon=True)
        fold.on_fault(self._found)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Finishes the burial in hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)

    def _found(self, record: Record, fault: Fault) -> None:
        while not self._stopping.is_set():
            try:
                return self._waiting.put((record, fault), timeout=POLL_SECONDS)
            except Full:
                continue

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                record, fault = self._waiting.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            self._stopping.wait(random.uniform(0, MAX_PAUSE_SECONDS))
            self._bury(record, fault)

    def _bury(self, record: Record, fault: Fault) -> None:
        while not self._stopping.is_set():
            try:
                self._burials.bury(record, fault.code, fault.reason)
            except LogError as error:
                logger.warning("dead letter not written; trying again", extra={"error": str(error)})
                self._stopping.wait(RETRY_SECONDS)
            else:
                return
