"""What pages read beside the folded state: the facts of the past, and what the deployer knows of running releases."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from headgate.lifecycle.past import Past
from headgate.log.port import LogError
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.viewer import Viewer

MAX_FACTS = 400
"""Facts of one stream that a page reads, the newest of the time that it is about."""


class Pilots(Protocol):
    """Asks the deployer."""

    def pilots(self, viewer: Viewer) -> worker_services.ListPilotsResponse | None: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """`past` reads the log, so it is asked before the lock of the fold is taken."""

    past: Past
    calls: Pilots
    lock: AbstractContextManager[object]
    """Of the fold, for what a page looks up before it reads the log."""

    def records(self, stream: str, from_ms: int, until_ms: int) -> Sequence[facts.LifecycleRecord]:
        """The facts of a stream between two times; empty when the log cannot be read now."""
        found = self.past.facts(stream)
        wanted = [each.sequence for each in found if from_ms <= each.time_ms <= until_ms][-MAX_FACTS:]
        if not wanted:
            return ()
        try:
            return [each.record for each in self.past.records(stream, wanted[0] - 1, wanted[-1])]
        except LogError:
            return ()
