"""The routing table of the request path: routes joined with what is loaded. Replaced whole, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import arm_of_hash
from services.gateway.evidence import EpochCounter, EvidenceBook
from services.gateway.routes import NO_EPOCH, NO_VERSION, Route
from services.gateway.sessions import LoadedVersion
from services.gateway.tally import ModelTally, TallyBook

MS_PER_SECOND = 1000.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One model's route with what is loaded of it."""

    route: Route
    versions: Mapping[int, LoadedVersion]
    failures: Mapping[int, str]
    counter: EpochCounter
    tally: ModelTally

    @property
    def applied(self) -> bool:
        """Whether every version that the weights name is ready, so that the weights are in force here."""
        return all(version in self.versions for version in self.route.weighted)

    @property
    def ready(self) -> bool:
        """Whether some request would be answered."""
        return self.stable is not None or (self.applied and self.route.candidate_bps == FULL_WEIGHT_BPS)

    @property
    def stable(self) -> LoadedVersion | None:
        return self.versions.get(self.route.stable)

    @property
    def standard(self) -> LoadedVersion | None:
        """The version that speaks for the model when none is named."""
        return self.stable or (self.versions.get(self.route.candidate) if self.ready else None)

    def choose(self, key_hash: int, silent_seconds: float) -> "Choice":
        """Who answers a key, when the log was last heard of `silent_seconds` ago."""
        route = self.route
        if not route.candidate_bps:
            return Choice(self.stable, telemetry.ARM_STABLE, counted=True)
        if self.is_lapsed(silent_seconds) or not self.applied:
            # Not counted: the judge reads the counts as if the weights had been in force.
            return Choice(self.stable, telemetry.ARM_STABLE, counted=False)
        arm = arm_of_hash(key_hash, route.candidate_bps)
        version = route.candidate if arm == telemetry.ARM_CANDIDATE else route.stable
        return Choice(self.versions.get(version), arm, counted=True)

    def is_lapsed(self, silent_seconds: float) -> bool:
        """Whether the candidate has lost its traffic because the log has been silent for too long."""
        route = self.route
        silent = silent_seconds * MS_PER_SECOND > route.candidate_lease_ms
        return silent and bool(route.candidate_bps) and route.stable != NO_VERSION

    def status(self) -> telemetry.RouteStatus:
        return telemetry.RouteStatus(
            model=self.route.model,
            epoch=self.route.epoch if self.applied else NO_EPOCH,
            ready_versions=sorted(self.versions),
            failures=[telemetry.LoadFailure(version=n, reason=reason) for n, reason in sorted(self.failures.items())],
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Nobody when the version is not loaded."""

    version: LoadedVersion | None
    arm: telemetry.Arm.ValueType
    counted: bool


@dataclass(frozen=True, slots=True)
class Table:
    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))

    def statuses(self) -> list[telemetry.RouteStatus]:
        return [entry.status() for _, entry in sorted(self.entries.items()) if entry.route.wanted]


def join(
    routes: Mapping[str, Route],
    ready: Mapping[tuple[str, int], LoadedVersion],
    failures: Mapping[tuple[str, int], str],
    book: EvidenceBook,
    tallies: TallyBook,
) -> Table:
    tallies.keep(routes)
    return Table(
        {
            model: Entry(
                route=route,
                versions={n: ready[model, n] for n in route.wanted if (model, n) in ready},
                failures={n: failures[model, n] for n in route.wanted if (model, n) in failures},
                counter=book.open(route),
                tally=tallies.open(route),
            )
            for model, route in routes.items()
        }
    )
