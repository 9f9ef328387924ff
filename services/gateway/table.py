"""The routing table of the request path: every route with its loaded versions. It is replaced, never changed."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.absence import why_not_loaded
from services.gateway.assignment import arm_of_hash
from services.gateway.evidence import EpochCounter, EvidenceCounters
from services.gateway.prediction_metrics import ModelMetrics, PredictionMetrics
from services.gateway.routes import NO_EPOCH, NO_VERSION, Route
from services.gateway.sessions import LoadedVersion

MS_PER_SECOND = 1000.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One model's route with its loaded versions."""

    route: Route
    versions: Mapping[int, LoadedVersion]
    failures: Mapping[int, str]
    counter: EpochCounter
    metrics: ModelMetrics
    withheld: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """Versions that must not answer a caller who names them, with the reasons."""
    asleep: bool = False
    """Whether the next request has to wait for the load of stable, because the memory for versions is full."""
    applied: bool = field(init=False)
    """Whether every version with a weight is loaded, so that this gateway can use the weights."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "applied", self._is_applied())

    def _is_applied(self) -> bool:
        """A live version without a candidate may sleep: all requests are its own."""
        if self.asleep and self.route.candidate == NO_VERSION:
            return True
        return all(version in self.versions for version in self.route.weighted_versions)

    def is_asleep(self, number: int) -> bool:
        """Whether the version can answer, once it is loaded for the request."""
        return self.asleep and number == self.route.stable

    @property
    def offered(self) -> list[int]:
        """The versions that can answer, in order."""
        return sorted({*self.versions, self.route.stable} if self.asleep else self.versions)

    def why_missing(self, number: int) -> str:
        """Why a version that the route names cannot answer a caller who names it. Empty when it can."""
        if number in self.withheld:
            return self.withheld[number]
        if number in self.versions or self.is_asleep(number):
            return ""
        return why_not_loaded(self.failures, number)

    @property
    def ready(self) -> bool:
        """Whether the model can answer requests."""
        return self.stable is not None or self.asleep or (self.applied and self.route.candidate_bps == FULL_WEIGHT_BPS)

    @property
    def stable(self) -> LoadedVersion | None:
        """The stable version, if it is loaded."""
        return self.versions.get(self.route.stable)

    @property
    def default(self) -> LoadedVersion | None:
        """The version whose metadata stands for the model: stable, or else the candidate when it has all traffic."""
        if self.stable is not None or self.asleep:
            return self.stable
        return self.versions.get(self.route.candidate) if self.ready else None

    @property
    def waiting(self) -> int:
        """How many requests wait for a slow version of the model."""
        return sum(version.queue.waiting for version in self.versions.values())

    def choose(self, key_hash: int, silent_seconds: float) -> "Choice":
        """The version that answers a key, when the last answer of the log came `silent_seconds` ago."""
        route = self.route
        if not route.candidate_bps:
            return Choice(self.stable, telemetry.ARM_STABLE, counted=True)
        if self.is_lapsed(silent_seconds) or not self.applied:
            # Not counted, because the judge assumes that the weights were applied to every counted answer.
            return Choice(self.stable, telemetry.ARM_STABLE, counted=False)
        arm = arm_of_hash(key_hash, route.candidate_bps)
        version = route.candidate if arm == telemetry.ARM_CANDIDATE else route.stable
        return Choice(self.versions.get(version), arm, counted=True)

    def is_silent(self, silent_seconds: float) -> bool:
        """Whether the log has not answered for longer than the candidate's lease."""
        return silent_seconds * MS_PER_SECOND > self.route.candidate_lease_ms

    def is_lapsed(self, silent_seconds: float) -> bool:
        """Whether the candidate gets no traffic because the log has not answered for longer than its lease."""
        route = self.route
        return self.is_silent(silent_seconds) and bool(route.candidate_bps) and route.stable != NO_VERSION

    def status(self) -> telemetry.RouteStatus:
        """What the gateway reports of this route."""
        return telemetry.RouteStatus(
            model=self.route.model,
            epoch=self.route.epoch if self.applied else NO_EPOCH,
            ready_versions=self.offered,
            failures=[telemetry.LoadFailure(version=n, reason=reason) for n, reason in sorted(self.failures.items())],
        )


class Choice(NamedTuple):
    """The version for one request, or None when it is not loaded; its arm; and whether the answer is evidence."""

    version: LoadedVersion | None
    arm: telemetry.Arm.ValueType
    counted: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One entry per model."""

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))

    def statuses(self) -> list[telemetry.RouteStatus]:
        """What the gateway reports of all routes that have a version."""
        return [entry.status() for _, entry in sorted(self.entries.items()) if entry.route.versions]


def build_entries(
    routes: Mapping[str, Route],
    ready: Mapping[tuple[str, int], LoadedVersion],
    failures: Mapping[tuple[str, int], str],
    evidence: EvidenceCounters,
    predictions: PredictionMetrics,
    withheld: Mapping[tuple[str, int], str] = MappingProxyType({}),
    asleep: Container[tuple[str, int]] = frozenset(),
) -> dict[str, Entry]:
    """The entries of the table for these routes."""
    return {
        model: Entry(
            route=route,
            versions={n: ready[model, n] for n in route.versions if (model, n) in ready},
            failures={n: failures[model, n] for n in route.versions if (model, n) in failures},
            counter=evidence.counter_of(route),
            metrics=predictions.metrics_of(route),
            withheld={n: withheld[model, n] for n in route.versions if (model, n) in withheld},
            asleep=(model, route.stable) in asleep,
        )
        for model, route in routes.items()
    }
