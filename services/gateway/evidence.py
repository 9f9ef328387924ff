"""Counts answers per model, release, epoch and arm. Totals only grow, so a lost report costs nothing.

A caller that fails always fails again and again: the judge may count it once. So a gateway remembers what each key of
a release has met, for as long as it lives, and names the first bad ones, which others or its next boot may see too.
"""

from dataclasses import dataclass, field

from headgate.telemetry.counters import COUNTERS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.routes import NO_RELEASE, Route

MAX_KEYS_PER_RELEASE = 400_000
"""Distinct keys remembered per release. Later keys enter no key count: the ratios stay true."""

MAX_NAMED_KEYS = 256
"""First bad keys named per arm and epoch; far more than a verdict needs. Later ones are only counted."""

MAX_EPOCHS_PER_MODEL = 4
"""Epochs kept per model: the one in force, and those whose last requests may still be on their way."""

STABLE_SEEN, STABLE_BAD, CANDIDATE_SEEN, CANDIDATE_BAD = 1, 2, 4, 8
EVER = STABLE_SEEN | STABLE_BAD | CANDIDATE_SEEN | CANDIDATE_BAD
BAD_IN_EPOCH = 16
EPOCH_SHIFT = 5


@dataclass(slots=True)
class ReleaseKeys:
    """What each key of a release has met: the flags above, and over them the last epoch it was seen in, plus 1."""

    met: dict[int, int] = field(default_factory=dict)
    over: bool = False

    def forget(self) -> None:
        """The release has ended: what is still on its way enters no key count."""
        self.over = True
        self.met = {}


@dataclass(slots=True)
class ArmCounter:
    """COUNTERS as plain numbers, since every request counts here."""

    version: int
    requests: int = 0
    bad_requests: int = 0
    keys: int = 0
    new_keys: int = 0
    bad_keys: int = 0
    new_bad_keys: int = 0
    first_bad_keys: int = 0
    first_bad_key_hashes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class EpochCounter:
    """The counters of one route. Keys are told apart only inside a release: nobody judges outside of one."""

    route: Route
    stable: ArmCounter
    candidate: ArmCounter
    release_keys: ReleaseKeys

    def count(self, arm: telemetry.Arm.ValueType, key_hash: int, bad: bool) -> None:
        is_candidate = arm == telemetry.ARM_CANDIDATE
        counter = self.candidate if is_candidate else self.stable
        counter.requests += 1
        counter.bad_requests += bad
        if self.route.release == NO_RELEASE or self.release_keys.over:
            return
        if is_candidate:
            self._count_key(counter, key_hash, bad, CANDIDATE_SEEN, CANDIDATE_BAD)
        else:
            self._count_key(counter, key_hash, bad, STABLE_SEEN, STABLE_BAD)

    def _count_key(self, counter: ArmCounter, key_hash: int, bad: bool, arm_seen: int, arm_bad: int) -> None:
        keys = self.release_keys.met
        met = keys.get(key_hash, 0)
        epoch = self.route.epoch + 1
        last_epoch = met >> EPOCH_SHIFT
        # A late answer of an epoch after which the key was seen again could be counted twice: it is left out.
        if last_epoch > epoch or (not met and len(keys) >= MAX_KEYS_PER_RELEASE):
            return
        if last_epoch != epoch:
            counter.keys += 1
            met = met & EVER | epoch << EPOCH_SHIFT
        counter.new_keys += not met & arm_seen
        met |= arm_seen
        if bad:
            counter.bad_keys += not met & BAD_IN_EPOCH
            counter.new_bad_keys += not met & arm_bad
            if not met & (STABLE_BAD | CANDIDATE_BAD):
                counter.first_bad_keys += 1
                if len(counter.first_bad_key_hashes) < MAX_NAMED_KEYS:
                    counter.first_bad_key_hashes.append(key_hash)
            met |= BAD_IN_EPOCH | arm_bad
        keys[key_hash] = met

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
    """Read against the order in which an answer is counted, so that no counter exceeds its bound meanwhile."""
    hashes = list(counter.first_bad_key_hashes)
    counts = {name: getattr(counter, name) for name in reversed(COUNTERS)}
    return telemetry.ArmCounts(arm=arm, version=counter.version, first_bad_key_hashes=hashes, **counts)


class EvidenceBook:
    """Every epoch's counters. The request path only counts; one reporting thread reads."""

    def __init__(self) -> None:
        self._epochs: dict[Route, EpochCounter] = {}
        self._reported: dict[Route, int] = {}
        self._release_keys: dict[str, tuple[int, ReleaseKeys]] = {}

    def open(self, route: Route) -> EpochCounter:
        """The counters of a route; the same ones when it comes again."""
        keys = self._keys_of(route)
        if route not in self._epochs:
            counter = EpochCounter(route, ArmCounter(route.stable), ArmCounter(route.candidate), keys)
            # A new dict instead of a change of the old: the reporting thread may be reading it.
            self._epochs = _without_oldest(self._epochs, route.model) | {route: counter}
            self._reported = {known: count for known, count in self._reported.items() if known in self._epochs}
        return self._epochs[route]

    def unreported(self) -> list[EpochCounter]:
        return [epoch for route, epoch in self._epochs.items() if epoch.requests != self._reported.get(route, 0)]

    def mark_reported(self, epoch: EpochCounter, requests: int) -> None:
        """`requests` as it stood before the report was made: what was counted meanwhile goes out with the next."""
        self._reported[epoch.route] = requests

    def _keys_of(self, route: Route) -> ReleaseKeys:
        """The keys of the route's release; those of the model's release before it are forgotten."""
        known = self._release_keys.get(route.model)
        if known is not None and known[0] == route.release:
            return known[1]
        if known is not None:
            known[1].forget()
        keys = ReleaseKeys()
        self._release_keys[route.model] = route.release, keys
        return keys


def _without_oldest(epochs: dict[Route, EpochCounter], model: str) -> dict[Route, EpochCounter]:
    of_model = [route for route in epochs if route.model == model]
    excess = set(of_model[: max(0, len(of_model) - MAX_EPOCHS_PER_MODEL + 1)])
    return {route: epoch for route, epoch in epochs.items() if route not in excess}
