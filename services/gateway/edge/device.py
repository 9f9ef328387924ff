"""A device: it follows its environment over the link, answers predictions, and reports what it has counted."""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headgate.artifacts.encryption.key_encryption import EncryptionUnusable
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
from headgate.client.tls import ClientTls
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.settings import SettingsError
from headgate.shared_files import try_lock
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_state_pb2 as edge_state
from services.gateway.edge.blob_folder import BlobFolder
from services.gateway.edge.follower import DeviceFollower, read_message
from services.gateway.edge.ledger import Ledger, ledger_of
from services.gateway.edge.link import Link, LinkDown
from services.gateway.edge.sealed_file import write_sealed
from services.gateway.evidence import EvidenceCounters
from services.gateway.fleet.claims import REFUSED, TRY_LATER
from services.gateway.fleet.servicer import MAX_TOTALS
from services.gateway.inference import Inference
from services.gateway.loading.first_load import loader_at_first_load
from services.gateway.prediction_metrics import PredictionMetrics

logger = logging.getLogger(__name__)

LEDGER_FILE, LOCK_FILE, BLOBS_FOLDER = "ledger", "lock", "blobs"
KEY_FILE = "encryption.key"
TICK_SECONDS = 1.0
PERSIST_SECONDS = 5.0
"""How often what was counted goes to the disk. A power cut loses what came after."""
FIRST_REPORT_SECONDS = 5.0
"""The first report comes within this time after the start, and the next one after a report that failed."""
LATEST_REPORT_FACTOR = 0.2
"""How much later than asked a device may report, so that devices that start together spread."""
LAST_REPORT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the device is and what it follows."""

    environment: str
    device: str
    models: tuple[str, ...] = ()


class Device:
    """The device without its servers: `inference` answers.

    It reports in a thread of its own. Raises SettingsError when another process uses the folder.
    """

    def __init__(
        self,
        identity: Identity,
        addresses: Sequence[str],
        folder: Path,
        keys: Path,
        max_disk_bytes: int,
        metrics: Metrics,
        trial: Callable[[bytes], None],
        on_change: Callable[[], None] = lambda: None,
        is_draining: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
        tick_seconds: float = TICK_SECONDS,
        first_report_seconds: float = FIRST_REPORT_SECONDS,
        tls: ClientTls | None = None,
        token_file: Path | None = None,
        encryption_key: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_lock = _locked(folder)
        self._identity = identity
        self._chance = chance
        self._tick_seconds = tick_seconds
        self._first_report_seconds = first_report_seconds
        self._file = folder / LEDGER_FILE
        self._evidence = EvidenceCounters()
        self.link = Link(addresses, self._watch_request, lambda *new: self.follower.take(*new), chance, tls, token_file)
        blobs = BlobFolder(folder / BLOBS_FOLDER, self.link.download, max_disk_bytes, _key(encryption_key, folder))
        self.follower = DeviceFollower(
            folder,
            blobs,
            loader_at_first_load(blobs, keys, trial),
            self._evidence,
            PredictionMetrics(metrics),
            on_change,
        )
        self._ledger = self._opened_ledger()
        self._ledger_lock = threading.Lock()
        self._persisted = b""
        self._dropped = metrics.counter("headgate_edge_totals_dropped_total").labels()
        self.inference = Inference(
            table=lambda: self.follower.table,
            is_ready=self.follower.loads_finished,
            last_poll_at=lambda: self.link.heard_at,
            is_draining=is_draining,
            why_missing=self.follower.why_missing,
            own_key=identity.device,
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge-device", daemon=True)

    def start(self) -> None:
        """Loads what is on the disk, and begins to follow and to report."""
        self.follower.start()
        self.link.start()
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the threads of the link and of the reports run."""
        return self._thread.is_alive() and self.link.is_alive()

    @property
    def unreported(self) -> int:
        """How many totals wait for a gateway."""
        with self._ledger_lock:
            return self._ledger.unreported_entries

    def close(self) -> None:
        """Writes what was counted to the disk, and ends all threads."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(LAST_REPORT_SECONDS)
        self._persist()
        self.link.close()
        self.follower.close()
        self._folder_lock.close()

    def report(self) -> float:
        """Sends what no gateway has taken yet. Returns after how many seconds to report again. Raises LinkDown."""
        self._persist()  # before it is sent, so that no later start reports less
        with self._ledger_lock:
            totals, incarnation = self._ledger.unreported(MAX_TOTALS), self._ledger.incarnation
        response = self.link.report(
            edge.ReportDeviceRequest(
                environment=self._identity.environment,
                device=self._identity.device,
                incarnation=incarnation,
                routes=self.follower.statuses(),
                totals=totals,
                served=self.follower.served(self._identity.device, time.monotonic() - self.link.heard_at),
            )
        )
        self._settle(totals, response.answers)
        return response.report_after_ms / 1000

    def _settle(self, totals: Sequence[edge.DeviceTotals], answers: Sequence[edge.TotalsAnswer]) -> None:
        for each, answer in zip(totals, answers, strict=False):
            if answer.outcome == REFUSED:
                logger.error("a gateway refuses what this device counted: %s", answer.reason)
            if answer.outcome != TRY_LATER:
                with self._ledger_lock:
                    self._ledger.settle(each)

    def _run(self) -> None:
        now = time.monotonic()
        persist_at, report_at = now + PERSIST_SECONDS, now + self._first_report_seconds * self._chance()
        while not self._closing.wait(self._tick_seconds):
            now = time.monotonic()
            self.link.check()
            if now >= persist_at:
                self._persist()
                persist_at = now + PERSIST_SECONDS
            if now >= report_at and self.link.is_up:
                report_at = now + self._try_to_report() * (1 + LATEST_REPORT_FACTOR * self._chance())

    def _try_to_report(self) -> float:
        try:
            return self.report()
        except LinkDown as error:
            logger.warning("not reported; the next report will contain it: %s", error)
            return self._first_report_seconds

    def _persist(self) -> None:
        """Writes the ledger to the disk if it changed."""
        with self._ledger_lock:
            before = self._ledger.dropped
            self._ledger.note(self._evidence.epochs())
            for _ in range(self._ledger.dropped - before):
                self._dropped.inc()
            content = self._ledger.message().SerializeToString()
            if content == self._persisted:
                return
            try:
                write_sealed(self._file, content)
                self._persisted = content
            except OSError as error:
                logger.error("what was counted is not on the disk: %s", error)

    def _opened_ledger(self) -> Ledger:
        message = read_message(self._file, edge_state.DeviceLedger)
        if not message.incarnation:
            return Ledger(uuid.uuid4().hex)
        return ledger_of(message, self.follower.counted)

    def _watch_request(self) -> edge.WatchRoutesRequest:
        return edge.WatchRoutesRequest(
            environment=self._identity.environment,
            device=self._identity.device,
            models=self._identity.models,
            resume_token=self.follower.resume_token,
        )


def _key(named: Path | None, folder: Path) -> KeyFile:
    """The key of the device's files; without a named one, one in its folder. Raises SettingsError."""
    file = named or folder / KEY_FILE
    try:
        if named is None:
            create_key_file(file)
        return KeyFile(file)
    except (EncryptionUnusable, OSError) as error:
        raise SettingsError([f"HEADGATE_EDGE_ENCRYPTION_KEY: {error}"]) from error


def _locked(folder: Path) -> IO[str]:
    """The lock of the state folder, held until it is closed."""
    lock = open(folder / LOCK_FILE, "a")  # noqa: SIM115  # it is held as long as the device lives
    if not try_lock(lock.fileno()):
        lock.close()
        raise SettingsError([f"--state {folder}: another process uses this folder"])
    return lock
