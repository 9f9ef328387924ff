"""Leases: which attempt a worker has claimed, the heartbeats that keep the claim, and the rule by which it is lost.

Heartbeats are telemetry, not facts. A lost heartbeat does no harm when another arrives before the lease has run out.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Liveness:
    """The time of each attempt's last heartbeat, and since when this process has read heartbeats."""

    heartbeats_ms: Mapping[Claim, int]
    reading_since_ms: int

    def last_seen_ms(self, claim: Claim) -> int:
        """The time of the attempt's last heartbeat; 0 when none is known."""
        return self.heartbeats_ms.get(claim, 0)

    def is_lost(self, claim: Claim, lease: resources.Lease, now_ms: int) -> bool:
        """Whether the lease has run out since the claim and since the last heartbeat.

        This process may not know earlier heartbeats, so it waits for one whole lease after it began to read them.
        """
        alive_at_ms = max(lease.claimed_at_ms, self.last_seen_ms(claim), self.reading_since_ms)
        return now_ms >= alive_at_ms + lease.lease_ms


class Heartbeats:
    """The last heartbeat of each attempt at one kind of work, from telemetry. Thread-safe."""

    def __init__(self, work: str, reading_since_ms: int) -> None:
        self._work = work
        self._reading_since_ms = reading_since_ms
        self._last_seen_ms: dict[Claim, int] = {}
        self._lock = threading.Lock()

    def observe(self, record: telemetry.TelemetryRecord, at_ms: int) -> None:
        """Remembers a heartbeat of this kind of work; ignores every other record."""
        beat = record.work_heartbeat
        if not record.HasField("work_heartbeat") or beat.work != self._work:
            return
        claim = Claim(beat.stream, beat.version, beat.attempt)
        with self._lock:
            self._last_seen_ms[claim] = max(at_ms, self._last_seen_ms.pop(claim, 0))
            if len(self._last_seen_ms) > MAX_ATTEMPTS_SEEN:
                del self._last_seen_ms[next(iter(self._last_seen_ms))]

    def liveness(self) -> Liveness:
        """A snapshot of what is known now."""
        with self._lock:
            return Liveness(dict(self._last_seen_ms), self._reading_since_ms)


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
