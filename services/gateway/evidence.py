"""Counts answers per model, release, epoch and arm. Totals only grow, so a lost report costs nothing."""

from dataclasses import dataclass, field

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.routes import NO_RELEASE, Route

MAX_KEYS_PER_ARM = 200_000
"""Distinct keys remembered per arm and epoch. Later keys enter neither key count: the ratio stays true."""

MAX_EPOCHS_PER_MODEL = 4
"""Epochs kept per model: the one in force, and those whose last requests may still be on their way."""


@dataclass(slots=True)
class ArmCounter:
    version: int
    requests: int = 0
    bad_requests: int = 0
    keys: set[int] = field(default_factory=set)
    bad_keys: set[int] = field(default_factory=set)

    def count(self, key_hash: int, bad: bool) -> None:
        self.requests += 1
        self.bad_requests += bad
        if len(self.keys) < MAX_KEYS_PER_ARM:
            self.keys.add(key_hash)
        if bad and key_hash in self.keys:
            self.bad_keys.add(key_hash)

    def count_request(self, bad: bool) -> None:
        self.requests += 1
        self.bad_requests += bad


@dataclass(slots=True)
class EpochCounter:
    """The counters of one route. Keys are told apart only inside a release: nobody judges outside of one."""

    route: Route
    stable: ArmCounter
    candidate: ArmCounter

    def count(self, arm: telemetry.Arm.ValueType, key_hash: int, bad: bool) -> None:
        counter = self.candidate if arm == telemetry.ARM_CANDIDATE else self.stable
        if self.route.release == NO_RELEASE:
            counter.count_request(bad)
        else:
            counter.count(key_hash, bad)

    @property
    def requests(self) -> int:
        """Grows with every change of any count."""
        return self.stable.requests + self.candidate.requests

    def evidence(self, environment: str) -> telemetry.Evidence:
        arms = ((telemetry.ARM_STABLE, self.stable), (telemetry.ARM_CANDIDATE, self.candidate))
        return telemetry.Evidence(
            environment=environment,
            model=self.route.model,
            release=self.route.release,
            epoch=self.route.epoch,
            candidate_weight_bps=self.route.candidate_bps,
            arms=[_arm_counts(arm, counter) for arm, counter in arms if counter.version],
        )


def _arm_counts(arm: telemetry.Arm.ValueType, counter: ArmCounter) -> telemetry.ArmCounts:
    return telemetry.ArmCounts(
        arm=arm,
        version=counter.version,
        requests=counter.requests,
        bad_requests=counter.bad_requests,
        keys=len(counter.keys),
        bad_keys=len(counter.bad_keys),
    )


class EvidenceBook:
    """Every epoch's counters. The request path only counts; one reporting thread reads."""

    def __init__(self) -> None:
        self._epochs: dict[Route, EpochCounter] = {}
        self._reported: dict[Route, int] = {}

    def open(self, route: Route) -> EpochCounter:
        """The counters of a route; the same ones when it comes again."""
        if route not in self._epochs:
            counter = EpochCounter(route, ArmCounter(route.stable), ArmCounter(route.candidate))
            # A new dict instead of a change of the old: the reporting thread may be reading it.
            self._epochs = _without_oldest(self._epochs, route.model) | {route: counter}
            self._reported = {known: count for known, count in self._reported.items() if known in self._epochs}
        return self._epochs[route]

    def unreported(self) -> list[EpochCounter]:
        return [epoch for route, epoch in self._epochs.items() if epoch.requests != self._reported.get(route, 0)]

    def mark_reported(self, epoch: EpochCounter, requests: int) -> None:
        """`requests` as it stood before the report was made: what was counted meanwhile goes out with the next."""
        self._reported[epoch.route] = requests


def _without_oldest(epochs: dict[Route, EpochCounter], model: str) -> dict[Route, EpochCounter]:
    of_model = [route for route in epochs if route.model == model]
    excess = set(of_model[: max(0, len(of_model) - MAX_EPOCHS_PER_MODEL + 1)])
    return {route: epoch for route, epoch in epochs.items() if route not in excess}
