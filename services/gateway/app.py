"""Wires the gateway: the fold drives the table, the table serves the door, the reporter tells the log."""

import threading

from headgate.artifacts.keys import load_trusted
from headgate.artifacts.store import open_store
from headgate.log.at_start import await_log
from headgate.log.fold import LifecycleFold
from headgate.log.port import EventLog
from headgate.worker.telemetry import TelemetryWriter
from services.gateway.door import Door
from services.gateway.evidence import EvidenceBook
from services.gateway.follower import Follower
from services.gateway.reporter import Reporter
from services.gateway.servicer import InferenceServicer
from services.gateway.sessions import Load, loader
from services.gateway.settings import Settings


class Gateway:
    """Its door opens at once and says that it is not ready; it is ready when what must answer has been loaded."""

    def __init__(self, settings: Settings, log: EventLog, load: Load) -> None:
        self.name = settings.name
        self._settings = settings
        self._log = log
        self._ready = threading.Event()
        self._fold = LifecycleFold(log)
        self._book = EvidenceBook()
        self._writer = TelemetryWriter(log, settings.name)
        self.follower = Follower(self._fold, settings.environment, load, self._book, self._changed)
        servicer = InferenceServicer(
            table=lambda: self.follower.table,
            is_ready=self._ready.is_set,
            heard_at=lambda: self._fold.last_poll_monotonic,
        )
        self._door = Door(servicer, settings.host, settings.port)

    def start(self) -> int:
        port = self._door.start()
        address = f"{self._settings.advertise}:{port}"
        self._reporter = Reporter(self._writer, self.follower, self._book, self._settings.environment, address)
        self._fold.start()
        self.follower.start()
        self._reporter.start()
        return port

    def stop(self, grace_seconds: float) -> None:
        """Leaves first, so that no release waits for it; then finishes what it has accepted."""
        self._reporter.leave()
        self._door.stop(grace_seconds)
        self.follower.close()
        self._reporter.send_last_evidence()
        self._fold.close()
        self._log.close()

    def _changed(self) -> None:
        self._reporter.wake()
        if not self._ready.is_set() and self.follower.settled():
            self._ready.set()
            self._door.set_ready()


def build(settings: Settings) -> Gateway:
    load = loader(open_store(settings.artifacts), lambda: load_trusted(settings.keys))
    return Gateway(settings, await_log(settings.log, settings.log_wait_seconds), load)
