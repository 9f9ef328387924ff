"""Leases: which attempt a worker has claimed, the heartbeats that keep the claim, and the rule by which it is lost.

Heartbeats are telemetry, not facts. A lost heartbeat does no harm when another arrives before the lease has run out.
Silence is measured on the own monotonic clock since a heartbeat arrived, so no other host's clock matters.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from headgate.domain.build import MAX_ATTEMPTS
from headgate.domain.names import model_stream, short_name, version_name
from headgate.log.port import LogError
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry

HEARTBEAT_SECONDS = 2.0
LAST_HEARTBEAT_SECONDS = 2.0
"""How long the end of the work waits for a heartbeat that is being written."""
MAX_ATTEMPTS_SEEN = 10_000
"""The most attempts whose last heartbeat is remembered. The one with the oldest heartbeat is forgotten first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one version."""

    stream: str
    version: int
    attempt: int

    @property
    def model(self) -> str:
        return short_name(self.stream)

    @property
    def version_name(self) -> str:
        return version_name(self.model, self.version)

    @property
    def name(self) -> str:
        return f"{self.version_name}/attempts/{self.attempt}"


def claim_of(model: str, version: resources.Version) -> Claim:
    """The present attempt at a version of the model."""
    return Claim(model_stream(model), version.version, version.attempt)


def why_lost(version: resources.Version) -> str:
    """Why the work on a version failed, after its last allowed attempt was lost."""
    return f"{MAX_ATTEMPTS} attempts were lost without a report; the last worker was {version.lease.worker}"


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """An attempt's last heartbeat: the log's time of the record, and how long ago it arrived here."""

    at_ms: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class Liveness:
    """Each attempt's last heartbeat, and for how long this process has read heartbeats."""

    heartbeats: Mapping[Claim, LastHeartbeat]
    reading_ms: int

    def last_seen_ms(self, claim: Claim) -> int:
        """The log's time of the attempt's last heartbeat; 0 when none is known."""
        last = self.heartbeats.get(claim)
        return last.at_ms if last is not None else 0

    def is_lost(self, claim: Claim, lease: resources.Lease, now_ms: int) -> bool:
        """Whether the lease has run out since the claim and since the last heartbeat. `now_ms` is the log's time.

        This process may not know earlier heartbeats, so it waits for one whole lease after it began to read them.
        """
        last = self.heartbeats.get(claim)
        silent_ms = min(self.reading_ms, last.silent_ms) if last is not None else self.reading_ms
        return silent_ms >= lease.lease_ms and now_ms >= lease.claimed_at_ms + lease.lease_ms


class Heartbeats:
    """The last heartbeat of each attempt at one kind of work, from telemetry. Thread-safe."""

    def __init__(self, work: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Reading begins now. `monotonic` is in seconds."""
        self._work = work
        self._monotonic = monotonic
        self._reading_since = monotonic()
        self._last: dict[Claim, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def observe(self, record: telemetry.TelemetryRecord, at_ms: int) -> None:
        """Remembers that a heartbeat of this kind of work, of this log time, arrived now. Ignores other records."""
        beat = record.work_heartbeat
        if not record.HasField("work_heartbeat") or beat.work != self._work:
            return
        claim = Claim(beat.stream, beat.version, beat.attempt)
        with self._lock:
            known_ms, _ = self._last.pop(claim, (0, 0.0))
            self._last[claim] = max(at_ms, known_ms), self._monotonic()
            if len(self._last) > MAX_ATTEMPTS_SEEN:
                del self._last[next(iter(self._last))]

    def missed(self, since: float) -> None:
        """Heartbeats may have been missed since this moment of the monotonic clock: reading begins anew."""
        with self._lock:
            self._reading_since = self._monotonic()

    def liveness(self) -> Liveness:
        """A snapshot of what is known now."""
        with self._lock:
            now = self._monotonic()
            heartbeats = {claim: LastHeartbeat(at_ms, _whole_ms(now - at)) for claim, (at_ms, at) in self._last.items()}
            return Liveness(heartbeats, _whole_ms(now - self._reading_since))


def _whole_ms(seconds: float) -> int:
    return int(seconds * 1000)


@contextmanager
def heartbeat(writer: TelemetryWriter, claim: Claim, work: str) -> Iterator[None]:
    """Sends a heartbeat at once and then every HEARTBEAT_SECONDS, until the block ends.

    While the log cannot be written, it logs warnings and goes on: the work matters more than the lease.
    """
    ended = threading.Event()
    beat = telemetry.WorkHeartbeat(stream=claim.stream, version=claim.version, attempt=claim.attempt, work=work)

    def send_until_ended() -> None:
        while not ended.is_set():
            try:
                writer.send(claim.stream, work_heartbeat=beat)
            except LogError as error:
                logger.warning("heartbeat not sent", extra={"attempt": claim.name, "error": str(error)})
            ended.wait(HEARTBEAT_SECONDS)

    thread = threading.Thread(target=send_until_ended, name=f"heartbeat {claim.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_HEARTBEAT_SECONDS)
