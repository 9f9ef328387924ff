"""What the gateways say, folded from telemetry: who is live, what each serves, and the counts of every release.

Counters only grow within a boot, so the newest report of each is the whole truth and a lost one costs nothing.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.release import RUNNING
from headgate.domain.state import ModelState
from headgate.log import topics
from headgate.telemetry import counters
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry

LIVE_MS = 5_000
"""A gateway that has not spoken for this long is not waited for."""

CLOCK_SLACK_MS = 5 * 60_000
"""By how much the clock of the facts and that of the telemetry may differ."""

MAX_COUNTERS = 100_000
"""Counters remembered: one per gateway boot, release and epoch. The longest silent goes first."""

MAX_GATEWAYS = 10_000

Place = tuple[int, int, int]
"""Epoch, weight and arm under which a key was bad for the first time; the smallest when gateways differ."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's last word, and when the log took it."""

    name: str
    boot_id: str
    sequence: int
    seen_at_ms: int
    status: telemetry.GatewayStatus

    def route(self, model: str) -> telemetry.RouteStatus:
        """What it serves of the model; empty when it has not said."""
        return next((route for route in self.status.routes if route.model == model), telemetry.RouteStatus())


@dataclass(frozen=True, slots=True)
class _Counter:
    """One weight in force: the newest report of it replaces the one before."""

    source: str
    boot_id: str
    environment: str
    model: str
    release: int
    epoch: int
    candidate_weight_bps: int


def needed_since(models: Mapping[str, ModelState], now_ms: int) -> int:
    """From when the telemetry has to be read: all that the oldest running release has been judged by, if it is kept."""
    releases = [release for state in models.values() for release in state.releases.values()]
    begun_at_ms = [release.started_at_ms for release in releases if release.phase in RUNNING]
    kept_since_ms = now_ms - topics.retention_ms(topics.TELEMETRY)
    return max(min([now_ms, *begun_at_ms]) - CLOCK_SLACK_MS, kept_since_ms)


class GatewayReports:
    """Written by the telemetry reader's thread, read by the deployer's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Counter, tuple[int, telemetry.Evidence]] = {}
        self._gateways: dict[str, Gateway] = {}

    def take(self, record: telemetry.TelemetryRecord, timestamp_ms: int) -> None:
        """Folds one telemetry record; what is neither evidence nor a gateway's status is nothing to us."""
        with self._lock:
            match record.WhichOneof("measurement"):
                case "evidence":
                    self._take_evidence(record)
                case "gateway_status":
                    self._take_status(record, timestamp_ms)
                case _:
                    pass

    def gateways(self, environment: str, now_ms: int) -> tuple[Gateway, ...]:
        """The environment's live gateways by name."""
        with self._lock:
            live = [
                gateway
                for gateway in self._gateways.values()
                if gateway.status.environment == environment
                and not gateway.status.leaving
                and now_ms - gateway.seen_at_ms <= LIVE_MS
            ]
        return tuple(sorted(live, key=lambda gateway: gateway.name))

    def strata(self, model: str, release: resources.Release) -> tuple[facts.Stratum, ...]:
        """Counts of the release for each weight it has had, by epoch, over all gateways and their boots.

        They are summed; only a first bad key that several have named is known to be one.
        """
        strata: dict[tuple[int, int], facts.Stratum] = {}
        first_bad: dict[int, Place] = {}
        with self._lock:
            for evidence in self._evidence_of(model, release):
                key = (evidence.epoch, evidence.candidate_weight_bps)
                stratum = strata.setdefault(key, facts.Stratum(epoch=key[0], candidate_weight_bps=key[1]))
                for arm in evidence.arms:
                    counters.add(stratum, arm)
                    # The named ones are counted once, when the reports of all gateways are known.
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

    def _take_evidence(self, record: telemetry.TelemetryRecord) -> None:
        evidence = record.evidence
        if not evidence.release:
            return
        counter = _Counter(
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

    def _take_status(self, record: telemetry.TelemetryRecord, timestamp_ms: int) -> None:
        known = self._gateways.pop(record.source, None)
        gateway = Gateway(record.source, record.boot_id, record.sequence, timestamp_ms, record.gateway_status)
        self._gateways[record.source] = known if known is not None and _is_stale(gateway, known) else gateway
        if len(self._gateways) > MAX_GATEWAYS:
            del self._gateways[next(iter(self._gateways))]


def _is_stale(new: Gateway, known: Gateway) -> bool:
    if new.boot_id == known.boot_id:
        return new.sequence <= known.sequence
    return new.seen_at_ms < known.seen_at_ms
