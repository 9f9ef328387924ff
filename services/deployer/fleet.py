"""Folds what devices have counted. A device is one key of a release, whatever gateway passes its reports on.

Totals of a device only grow, so a report that comes twice, late or by another way changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headgate.telemetry import counters
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry

MAX_DEVICE_COUNTERS = 100_000
"""Counters in memory, one for each device, epoch and incarnation; each takes about 900 bytes.

The device without a report for longest is dropped first, those of other releases before those of the one that grows."""

ReleaseKey = tuple[str, str, int]
"""Environment, model and release."""


@dataclass(frozen=True, slots=True, order=True)
class Counter:
    """Identifies one counter of a device within a release."""

    epoch: int
    candidate_weight_bps: int
    arm: int
    incarnation: str


Totals = Mapping[Counter, telemetry.ArmCounts]
"""The newest counts of one device, without those of keys."""


def counts_of_device(totals: Totals) -> Iterator[tuple[Counter, telemetry.ArmCounts]]:
    """What one device adds to the strata: its requests, and itself as a key. Pure.

    In the whole release it is new to an arm once, and badly answered for the first time once.
    """
    seen: set[object] = set()

    def first(*what: object) -> int:
        before = len(seen)
        seen.add(what)
        return len(seen) - before

    for counter in sorted(totals):
        counts = telemetry.ArmCounts()
        counts.CopyFrom(totals[counter])
        under = (counter.epoch, counter.candidate_weight_bps, counter.arm)
        if counts.requests:
            counts.keys = first("key", *under)
            counts.new_keys = first("new", counter.arm)
        if counts.bad_requests:
            counts.bad_keys = first("bad key", *under)
            counts.new_bad_keys = first("new bad", counter.arm)
            counts.first_bad_keys = first("first bad")
        yield counter, counts


@dataclass(slots=True)
class _Release:
    """The counters of all devices of one release, and their sum."""

    devices: dict[str, dict[Counter, telemetry.ArmCounts]] = field(default_factory=dict)
    strata: dict[tuple[int, int], facts.Stratum] = field(default_factory=dict)

    def add(self, device: str, counter: Counter, counts: telemetry.ArmCounts) -> int:
        """Replaces the counter by newer counts. Returns how many counters came."""
        totals = self.devices.pop(device, {})
        self.devices[device] = totals  # at the end: it reported last
        known = totals.get(counter)
        if known is not None and known.requests >= counts.requests:
            return 0
        self._sum(totals, -1)
        totals[counter] = counts
        self._sum(totals, 1)
        return int(known is None)

    def drop_oldest(self) -> int:
        """Drops the device without a report for longest. Returns how many counters went."""
        totals = self.devices.pop(next(iter(self.devices)))
        self._sum(totals, -1)
        return len(totals)

    def _sum(self, totals: Totals, times: int) -> None:
        for counter, counts in counts_of_device(totals):
            key = (counter.epoch, counter.candidate_weight_bps)
            stratum = self.strata.setdefault(key, facts.Stratum(epoch=key[0], candidate_weight_bps=key[1]))
            counters.add(stratum, counts, times)


class FleetCounts:
    """The newest counts of all devices. Not thread-safe.

    The sums are kept up to date with each report, because the pilot asks for them more often than devices report.
    """

    def __init__(self, max_counters: int = MAX_DEVICE_COUNTERS) -> None:
        self._max_counters = max_counters
        self._releases: dict[ReleaseKey, _Release] = {}
        self._size = 0

    def add(self, evidence: telemetry.DeviceEvidence) -> None:
        """Folds one record, which has no flaw by the rules of telemetry."""
        if not evidence.release:
            return
        key = (evidence.environment, evidence.model, evidence.release)
        release = self._releases.pop(key, None) or _Release()
        self._releases[key] = release
        for device in evidence.devices:
            counter = Counter(evidence.epoch, evidence.candidate_weight_bps, device.arm, device.incarnation)
            self._size += release.add(device.device, counter, counters.arm_counts(device))
        self._bound()

    def strata(self, environment: str, model: str, release: int) -> list[facts.Stratum]:
        """The sums of one release, one stratum for each epoch and weight. Change none of them."""
        found = self._releases.get((environment, model, release))
        return [] if found is None else list(found.strata.values())

    def _bound(self) -> None:
        while self._size > self._max_counters:
            oldest = next(iter(self._releases))
            self._size -= self._releases[oldest].drop_oldest()
            if not self._releases[oldest].devices:
                del self._releases[oldest]
