"""Counts answers per model, release, epoch and arm. Totals only grow, so a lost report costs nothing.

A caller whose requests always fail sends many of them, but the judge must count it once. So a gateway remembers for
each key of a release which arms have answered it, and which badly. It also reports the hashes of the first bad keys:
other gateways, and this one after a restart, may count the same keys.
"""

import threading
from dataclasses import dataclass, field

from headgate.telemetry.counters import COUNTERS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.fault import Excuses
from services.gateway.routes import NO_RELEASE, Route

MAX_KEYS_PER_RELEASE = 400_000
"""Distinct keys remembered per release. Later keys are left out of all key counts, so the ratios stay right."""

MAX_NAMED_KEYS = 256
"""Hashes of first bad keys reported per arm and epoch, far more than a verdict needs. Later ones are only counted."""

MAX_EPOCHS_PER_MODEL = 4
"""Epochs kept per model: the present one, and earlier ones whose last requests may still be in progress."""

STABLE_SEEN, STABLE_BAD, CANDIDATE_SEEN, CANDIDATE_BAD = 1, 2, 4, 8
ARM_FLAGS = STABLE_SEEN | STABLE_BAD | CANDIDATE_SEEN | CANDIDATE_BAD
BAD_IN_EPOCH = 16
EPOCH_SHIFT = 5


@dataclass(slots=True)
class ReleaseKeys:
    """One number for each key of a release: the flags above in the low bits, then the key's last epoch plus 1.

    Who counts or reads the counts holds `lock`: several servers and the threads of slow versions count at once.
    """

    flags: dict[int, int] = field(default_factory=dict)
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def end(self) -> None:
        """Ends the counting of keys, because the release has ended. Requests still in progress are left out."""
        with self.lock:
            self.ended = True
            self.flags = {}


@dataclass(slots=True)
class ArmCounter:
    """The counters of COUNTERS for one arm. They are plain integers, because every request changes them."""

    version: int
    requests: int = 0
    bad_requests: int = 0
    late_requests: int = 0
    keys: int = 0
    new_keys: int = 0
    bad_keys: int = 0
    new_bad_keys: int = 0
    first_bad_keys: int = 0
    first_bad_key_hashes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class EpochCounter:
    """The counters of both arms of one route. Keys are counted only during a release, for the judge."""

    route: Route
    stable: ArmCounter
    candidate: ArmCounter
    release_keys: ReleaseKeys
    excuses: Excuses = field(default_factory=Excuses)

    def count(self, arm: telemetry.Arm.ValueType, key_hash: int, bad: bool, late: bool = False) -> None:
        """Counts one answer. An answer is late when its caller had given up before it came; then it is bad too."""
        with self.release_keys.lock:
            self._count(arm, key_hash, bad or late, late)

    def _count(self, arm: telemetry.Arm.ValueType, key_hash: int, bad: bool, late: bool) -> None:
        is_candidate = arm == telemetry.ARM_CANDIDATE
        counter = self.candidate if is_candidate else self.stable
        counter.requests += 1
        counter.bad_requests += bad
        counter.late_requests += late
        if self.route.release == NO_RELEASE or self.release_keys.ended:
            return
        if is_candidate:
            self._count_key(counter, key_hash, bad, CANDIDATE_SEEN, CANDIDATE_BAD)
        else:
            self._count_key(counter, key_hash, bad, STABLE_SEEN, STABLE_BAD)

    def _count_key(self, counter: ArmCounter, key_hash: int, bad: bool, arm_seen: int, arm_bad: int) -> None:
        keys = self.release_keys.flags
        flags = keys.get(key_hash, 0)
        epoch = self.route.epoch + 1
        last_epoch = flags >> EPOCH_SHIFT
        # A key seen in a later epoch already is left out, because this late answer could count it twice.
        # So are new keys beyond the limit.
        if last_epoch > epoch or (not flags and len(keys) >= MAX_KEYS_PER_RELEASE):
            return
        if last_epoch != epoch:
            counter.keys += 1
            flags = flags & ARM_FLAGS | epoch << EPOCH_SHIFT
        counter.new_keys += not flags & arm_seen
        flags |= arm_seen
        if bad:
            counter.bad_keys += not flags & BAD_IN_EPOCH
            counter.new_bad_keys += not flags & arm_bad
            if not flags & (STABLE_BAD | CANDIDATE_BAD):
                counter.first_bad_keys += 1
                if len(counter.first_bad_key_hashes) < MAX_NAMED_KEYS:
                    counter.first_bad_key_hashes.append(key_hash)
            flags |= BAD_IN_EPOCH | arm_bad
        keys[key_hash] = flags

    @property
    def requests(self) -> int:
        """Grows with every change of any count."""
        return self.stable.requests + self.candidate.requests

    def evidence(self, environment: str) -> telemetry.Evidence:
        """The counters as a telemetry message, as they are between two answers."""
        arms = ((telemetry.ARM_STABLE, self.stable), (telemetry.ARM_CANDIDATE, self.candidate))
        with self.release_keys.lock:
            counts = [_arm_counts(arm, counter) for arm, counter in arms if counter.version]
        return telemetry.Evidence(
            environment=environment,
            model=self.route.model,
            release=self.route.release,
            epoch=self.route.epoch,
            candidate_weight_bps=self.route.candidate_bps,
            arms=counts,
        )


def _arm_counts(arm: telemetry.Arm.ValueType, counter: ArmCounter) -> telemetry.ArmCounts:
    counts = {name: getattr(counter, name) for name in COUNTERS}
    return telemetry.ArmCounts(
        arm=arm, version=counter.version, first_bad_key_hashes=counter.first_bad_key_hashes, **counts
    )


class EvidenceCounters:
    """The counters of all routes. Any thread counts; the follower's thread adds routes, and the reporter's reads."""

    def __init__(self) -> None:
        self._epochs: dict[Route, EpochCounter] = {}
        self._reported: dict[Route, int] = {}
        self._release_keys: dict[str, tuple[int, ReleaseKeys]] = {}

    def counter_of(self, route: Route) -> EpochCounter:
        """The counters of a route. The same route always gets the same counters."""
        keys = self._keys_of(route)
        if route not in self._epochs:
            counter = EpochCounter(route, ArmCounter(route.stable), ArmCounter(route.candidate), keys)
            # Replaces the dict instead of changing it, because the reporter's thread may be reading it.
            self._epochs = _without_oldest(self._epochs, route.model) | {route: counter}
            # A copy in one step, because the reporter's thread may add to it meanwhile.
            reported = self._reported.copy()
            self._reported = {known: count for known, count in reported.items() if known in self._epochs}
        return self._epochs[route]

    def epochs(self) -> list[EpochCounter]:
        """The counters of all routes that are kept."""
        return list(self._epochs.values())

    def unreported(self) -> list[EpochCounter]:
        """The counters that have changed since their last report."""
        return [epoch for route, epoch in self._epochs.items() if epoch.requests != self._reported.get(route, 0)]

    def mark_reported(self, epoch: EpochCounter, requests: int) -> None:
        """Call with the value of `requests` from before the report was made. The next report has what came later."""
        self._reported[epoch.route] = requests

    def _keys_of(self, route: Route) -> ReleaseKeys:
        """The keys of the route's release. Drops the keys of the model's earlier release."""
        known = self._release_keys.get(route.model)
        if known is not None and known[0] == route.release:
            return known[1]
        if known is not None:
            known[1].end()
        keys = ReleaseKeys()
        self._release_keys[route.model] = route.release, keys
        return keys


def _without_oldest(epochs: dict[Route, EpochCounter], model: str) -> dict[Route, EpochCounter]:
    of_model = [route for route in epochs if route.model == model]
    excess = set(of_model[: max(0, len(of_model) - MAX_EPOCHS_PER_MODEL + 1)])
    return {route: epoch for route, epoch in epochs.items() if route not in excess}
