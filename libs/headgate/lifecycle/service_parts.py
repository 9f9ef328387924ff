"""The settings and parts that every service has: its log, the fold of the log, its metrics and its health."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate.domain.address import is_loopback
from headgate.domain.names import REPLICA_RULE, is_replica_name
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import check_address
from headgate.log.port import AddressInvalid, EventLog, LogUnavailable
from headgate.log.startup import LOG_WAIT_SECONDS, await_log
from headgate.runtime.deadline import Deadline, run_within
from headgate.runtime.log_clock import LogClock
from headgate.runtime.observability.log_metrics import FoldMetrics, LagWatch, Reader
from headgate.runtime.observability.observed_log import ObservedLog
from headgate.runtime.operations import Loop, Operations
from headgate.runtime.service import GRACE_SECONDS, ProcessSettings
from headgate.runtime.settings import CHECK, HOST, SettingsError
from headgate.runtime.tls import TlsFiles, TlsUnusable

NO_PLAIN_TEXT = (
    "HEADGATE_HOST={} is not the loopback, so its ports need TLS: set HEADGATE_TLS_CERTIFICATE and HEADGATE_TLS_KEY, "
    "for which `headgate certificates create` makes the files; or set HEADGATE_PLAIN_TEXT=true, where nobody else "
    "reaches them"
)
REPLAY_SECONDS = 600.0
"""How long a service may take to fold the records that are in the log at its start."""


def replica_name(default: str) -> Any:
    """The field of a service's settings for the name of this replica."""
    return field(default=default, metadata={CHECK: _require_replica_name})


def _require_replica_name(name: str) -> None:
    if not is_replica_name(name):
        raise ValueError(REPLICA_RULE)


def _require_log(url: str) -> None:
    try:
        check_address(url)
    except AddressInvalid as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(ProcessSettings):
    """The settings that every service reads from its environment. A service may add more."""

    log: str = field(metadata={CHECK: _require_log})
    """URL of the event log."""
    name: str
    """The name of this replica. It is unique among the running replicas, and the same after a restart."""
    host: str = field(default="127.0.0.1", metadata={HOST: True})
    port: int = 0
    """The port of the gRPC server; 0 for any free port."""
    metrics_port: int = 0
    """The port of the HTTP server with /metrics, /livez and /readyz; 0 for no such server."""
    tls_certificate: Path | None = None
    """PEM file with the certificate of this service's ports and its chain. Without it they speak no TLS."""
    tls_key: Path | None = None
    """PEM file with the private key of the certificate."""
    tls_client_ca: Path | None = None
    """PEM file with the authority of the callers' certificates. Without it callers need none."""
    plain_text: bool = False
    """Whether ports beyond the loopback may do without TLS."""
    grace_seconds: float = GRACE_SECONDS
    log_wait_seconds: float = LOG_WAIT_SECONDS


class ServiceParts:
    """The parts that every service has. Construction waits for the log; `start` begins to fold it."""

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        self.name = settings.name
        self.grace_seconds = settings.grace_seconds
        self.tls = tls_files(settings)
        """The files of the certificate; None when the ports speak no TLS."""
        self.operations = Operations(service, settings.host, settings.metrics_port, self.tls)
        self.metrics = self.operations.metrics
        self.log: EventLog = ObservedLog(opened_log(settings), self.metrics)
        self.clock = LogClock()
        self.fold = LifecycleFold(self.log, FoldMetrics(self.metrics, self.clock))
        fold_reader = Reader("fold", topics.LIFECYCLE, self.fold.positions)
        self._lag = LagWatch(self.log, self.metrics, [fold_reader], self.clock)

    def watch_lag(self, reader: str, topic: str, positions: Callable[[], Mapping[int, int]]) -> None:
        """Also measures how far this reader is behind the end of its topic."""
        self._lag.add(Reader(reader, topic, positions))

    def start(self) -> None:
        """Starts to follow the log, without waiting."""
        self.fold.start()
        self._lag.start()

    def await_replay(self) -> None:
        """Waits until all records that were in the log at the start are folded. Raises LogUnavailable, RecordsLost."""
        if not self.fold.wait_caught_up(REPLAY_SECONDS):
            raise LogUnavailable(f"the log was not replayed within {REPLAY_SECONDS:.0f} s")

    def watch(self, *loops: Loop) -> None:
        """From now on /livez fails when the fold or one of these loops has ended."""
        self.operations.watch(self.fold, *loops)

    def ready(self, *loops: Loop) -> None:
        """Reports the service as ready and watches its loops."""
        self.watch(*loops)
        self.operations.ready()

    def drain(self) -> None:
        """Reports the service as not ready: it takes no more work."""
        self.operations.drain()
        self._lag.close()

    def close(self, deadline: Deadline) -> None:
        """Closes the fold and the log within the deadline."""
        self.fold.close()
        run_within(deadline.left(), self.log.close)
        self.operations.close()


def opened_log(settings: ServiceSettings) -> EventLog:
    """The log of the settings, once it answers. Raises SettingsError and LogError."""
    try:
        return await_log(settings.log, settings.log_wait_seconds)
    except AddressInvalid as error:
        raise SettingsError([f"HEADGATE_LOG: {error}"]) from error


def tls_files(settings: ServiceSettings) -> TlsFiles | None:
    """The files, which can be used. Raises SettingsError."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None and key is None and client_ca is None:
        if not (settings.plain_text or is_loopback(settings.host)):
            raise SettingsError([NO_PLAIN_TEXT.format(settings.host)])
        return None
    if certificate is None or key is None:
        raise SettingsError(
            ["HEADGATE_TLS_CERTIFICATE and HEADGATE_TLS_KEY go together: set both, or no HEADGATE_TLS_*"]
        )
    files = TlsFiles(certificate, key, client_ca)
    try:
        files.read()
    except TlsUnusable as error:
        raise SettingsError([f"HEADGATE_TLS_*: {error}"]) from error
    return files
