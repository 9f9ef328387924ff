"""Folds the gateways' telemetry: which gateways are live, what each serves, and the counts of every release.

A gateway's counters only grow until it restarts. So its newest report replaces all older ones, and a lost report
costs nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from headgate.domain.release import RUNNING
from headgate.domain.state import ModelState
from headgate.log import topics
from headgate.log.port import BROKER_SKEW_SECONDS
from headgate.telemetry import counters
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.fleet import FleetCounts

LIVE_SECONDS = 5.0
"""A gateway is live until no status of it has arrived for this long. Releases wait for live gateways only."""

CLOCK_SLACK_MS = 5 * 60_000
"""How far the times of facts and of telemetry may differ. Facts of older versions have the registry's own time."""

MAX_COUNTERS = 100_000
"""Counters in memory: one for each boot of a gateway, release and epoch. The one without a report for longest is
dropped first."""

MAX_GATEWAYS = 10_000

StratumArm = tuple[int, int, int]
"""Epoch, weight and arm of a key's first bad answer. When gateways differ, the smallest counts."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's newest status, and when it came on this process's monotonic clock."""

    name: str
    boot_id: str
    sequence: int
    heard_at: float
    status: telemetry.GatewayStatus

    def route(self, model: str) -> telemetry.RouteStatus:
        """What the gateway serves of the model; empty when its status does not name the model."""
        return next((route for route in self.status.routes if route.model == model), telemetry.RouteStatus())


@dataclass(frozen=True, slots=True)
class _CounterKey:
    """Identifies one counter of one gateway. A newer report of the same counter replaces the older one."""

    source: str
    boot_id: str
    environment: str
    model: str
    release: int
    epoch: int
    candidate_weight_bps: int


def needed_since(models: Mapping[str, ModelState], now_ms: int) -> int:
    """The time from which the telemetry must be read: the start of the oldest running release.

    Telemetry that the topic no longer keeps is not asked for.
    """
    releases = [release for state in models.values() for release in state.releases.values()]
    started_at_ms = [release.started_at_ms for release in releases if release.phase in RUNNING]
    kept_since_ms = now_ms - topics.retention_ms(topics.TELEMETRY)
    return max(min([now_ms, *started_at_ms]) - CLOCK_SLACK_MS, kept_since_ms)


class GatewayReports:
    """The newest reports of all gateways. Thread-safe: one thread adds reports while others read them.

    Silence is measured on the own monotonic clock since a status arrived, so no other host's clock matters.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._counts: dict[_CounterKey, tuple[int, telemetry.Evidence]] = {}
        self._gateways: dict[str, Gateway] = {}
        self._fleet = FleetCounts()

    def add(self, record: telemetry.TelemetryRecord, age_seconds: float = 0.0) -> None:
        """Folds one telemetry record. Ignores records that hold neither evidence nor a gateway's status.

        `age_seconds` is its age by the log's time. After a restart or an outage many records are old when they arrive.
        An age that a broker's clock may be the cause of does not count.
        """
        silent_seconds = age_seconds if age_seconds > BROKER_SKEW_SECONDS else 0.0
        with self._lock:
            match record.WhichOneof("measurement"):
                case "evidence":
                    self._add_evidence(record)
                case "device_evidence":
                    self._fleet.add(record.device_evidence)
                case "gateway_status":
                    self._add_status(record, self._monotonic() - silent_seconds)
                case _:
                    pass

    def missed(self, since: float) -> None:
        """Reports may have been missed since this moment of the monotonic clock.

        Who was live then counts as heard now. Otherwise every gateway would be gone after an outage of the log.
        """
        with self._lock:
            for name, gateway in self._gateways.items():
                if since - gateway.heard_at <= LIVE_SECONDS:
                    self._gateways[name] = replace(gateway, heard_at=self._monotonic())

    def gateways(self, environment: str) -> tuple[Gateway, ...]:
        """The environment's live gateways, in the order of their names."""
        now = self._monotonic()
        with self._lock:
            live = [each for each in self._present(environment) if now - each.heard_at <= LIVE_SECONDS]
        return tuple(sorted(live, key=lambda gateway: gateway.name))

    def silent(self, environment: str, lease_seconds: float) -> tuple[str, ...]:
        """The environment's gateways that went silent without leaving, less than a lease ago, in order.

        Each may serve the candidate still, and what it counts is not known. After its lease it serves stable only.
        """
        now = self._monotonic()
        with self._lock:
            silent = (
                each.name for each in self._present(environment) if LIVE_SECONDS < now - each.heard_at <= lease_seconds
            )
            return tuple(sorted(silent))

    def _present(self, environment: str) -> Iterator[Gateway]:
        """The environment's gateways that have not reported that they leave, live or not."""
        for gateway in self._gateways.values():
            if gateway.status.environment == environment and not gateway.status.leaving:
                yield gateway

    def strata(self, model: str, release: resources.Release) -> tuple[facts.Stratum, ...]:
        """The counts of the release, summed over all gateways and their boots, and over all devices.

        There is one stratum for each epoch and weight. A first bad key that several gateways name is counted once. Keys
        without a name are simply summed.
        """
        strata: dict[tuple[int, int], facts.Stratum] = {}
        first_bad: dict[int, StratumArm] = {}
        with self._lock:
            for counted in self._fleet.strata(release.environment, model, release.release):
                strata[counted.epoch, counted.candidate_weight_bps] = copied = facts.Stratum()
                copied.CopyFrom(counted)
            for evidence in self._evidence_of(model, release):
                key = (evidence.epoch, evidence.candidate_weight_bps)
                stratum = strata.setdefault(key, facts.Stratum(epoch=key[0], candidate_weight_bps=key[1]))
                for arm in evidence.arms:
                    counters.add(stratum, arm)
                    # The named keys are taken out here and counted once below, over all gateways.
                    counters.add_to(stratum, arm.arm, "first_bad_keys", -len(arm.first_bad_key_hashes))
                    for key_hash in arm.first_bad_key_hashes:
                        first_bad[key_hash] = min(first_bad.get(key_hash, (*key, arm.arm)), (*key, arm.arm))
        for epoch, weight, arm_number in first_bad.values():
            counters.add_to(strata[epoch, weight], arm_number, "first_bad_keys", 1)
        return tuple(strata[key] for key in sorted(strata))

    def _evidence_of(self, model: str, release: resources.Release) -> Iterator[telemetry.Evidence]:
        wanted = (release.environment, model, release.release)
        for counter, (_, evidence) in self._counts.items():
            if (counter.environment, counter.model, counter.release) == wanted:
                yield evidence

    def _add_evidence(self, record: telemetry.TelemetryRecord) -> None:
        evidence = record.evidence
        if not evidence.release:
            return
        counter = _CounterKey(
            source=record.source,
            boot_id=record.boot_id,
            environment=evidence.environment,
            model=evidence.model,
            release=evidence.release,
            epoch=evidence.epoch,
            candidate_weight_bps=evidence.candidate_weight_bps,
        )
        known = self._counts.pop(counter, None)
        newest = known if known is not None and known[0] >= record.sequence else (record.sequence, evidence)
        self._counts[counter] = newest
        if len(self._counts) > MAX_COUNTERS:
            del self._counts[next(iter(self._counts))]

    def _add_status(self, record: telemetry.TelemetryRecord, heard_at: float) -> None:
        known = self._gateways.pop(record.source, None)
        gateway = Gateway(record.source, record.boot_id, record.sequence, heard_at, record.gateway_status)
        self._gateways[record.source] = known if known is not None and _is_stale(gateway, known) else gateway
        if len(self._gateways) > MAX_GATEWAYS:
            del self._gateways[next(iter(self._gateways))]


def _is_stale(new: Gateway, known: Gateway) -> bool:
    """Whether the status came before the known one. All statuses of a gateway are in one partition, in their order."""
    return new.boot_id == known.boot_id and new.sequence <= known.sequence
