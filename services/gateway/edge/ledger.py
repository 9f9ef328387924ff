"""What a device has counted and what of it a gateway has taken. It survives reboots, and its totals only grow. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from headgate.telemetry import counters
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_state_pb2 as edge_state
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.evidence import EpochCounter
from services.gateway.routes import NO_RELEASE

MAX_ENTRIES = 1_000
"""Entries that are kept, one for each epoch and arm. Of more, the oldest one is dropped: a reported one if there is."""

ARMS = (telemetry.ARM_STABLE, telemetry.ARM_CANDIDATE)
NONE = (0,) * len(counters.OF_A_DEVICE)


@dataclass(frozen=True, slots=True)
class EntryKey:
    """What the totals of an entry are about."""

    model: str
    release: int
    epoch: int
    candidate_weight_bps: int
    arm: int
    version: int


@dataclass(slots=True)
class _Entry:
    before: tuple[int, ...] = NONE
    """Counted before this start of the process, in the order of OF_A_DEVICE."""
    since: tuple[int, ...] = NONE
    reported_requests: int = 0

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(map(sum, zip(self.before, self.since, strict=True)))

    @property
    def is_reported(self) -> bool:
        return self.totals[0] <= self.reported_requests


@dataclass(slots=True)
class Ledger:
    """One for each state folder. Not thread-safe."""

    incarnation: str
    entries: dict[EntryKey, _Entry] = field(default_factory=dict)
    dropped: int = 0
    """Entries that were dropped before a gateway took them."""

    def note(self, epochs: Iterable[EpochCounter]) -> None:
        """Takes over what this process has counted in releases."""
        for epoch in epochs:
            if epoch.route.release == NO_RELEASE:
                continue
            for arm, counter in zip(ARMS, (epoch.stable, epoch.candidate), strict=True):
                if counter.requests:
                    with epoch.release_keys.lock:
                        counts = tuple(getattr(counter, name) for name in counters.OF_A_DEVICE)
                    route = epoch.route
                    under = (route.model, route.release, route.epoch, route.candidate_bps)
                    self.entries.setdefault(EntryKey(*under, arm, counter.version), _Entry()).since = counts
        self._bound()

    def unreported(self, at_most: int) -> list[edge.DeviceTotals]:
        """What no gateway has taken yet, the oldest first."""
        found = (_message(key, entry) for key, entry in self.entries.items() if not entry.is_reported)
        return [totals for totals, _ in zip(found, range(at_most), strict=False)]

    def settle(self, totals: edge.DeviceTotals) -> None:
        """Nothing more has to be reported of these totals."""
        entry = self.entries.get(_key(totals))
        if entry is not None:
            entry.reported_requests = max(entry.reported_requests, totals.requests)

    @property
    def unreported_entries(self) -> int:
        """How many entries wait for a gateway."""
        return sum(not entry.is_reported for entry in self.entries.values())

    def message(self) -> edge_state.DeviceLedger:
        """The ledger for the disk."""
        entries = [
            edge_state.LedgerEntry(totals=_message(key, entry), reported_requests=entry.reported_requests)
            for key, entry in self.entries.items()
        ]
        return edge_state.DeviceLedger(incarnation=self.incarnation, entries=entries)

    def _bound(self) -> None:
        while len(self.entries) > MAX_ENTRIES:
            reported = (key for key, entry in self.entries.items() if entry.is_reported)
            oldest = next(reported, next(iter(self.entries)))
            self.dropped += not self.entries.pop(oldest).is_reported


def ledger_of(message: edge_state.DeviceLedger, served: Collection[tuple[str, int, int]]) -> Ledger:
    """The ledger from the disk. `served` has model, release and epoch of the routes that may still be counted.

    Entries of other routes that were reported are left out.
    """
    ledger = Ledger(message.incarnation)
    for key, entry in _entries(message):
        if not entry.is_reported or (key.model, key.release, key.epoch) in served:
            ledger.entries[key] = entry
    return ledger


def _entries(message: edge_state.DeviceLedger) -> Iterator[tuple[EntryKey, _Entry]]:
    for each in message.entries:
        before = tuple(getattr(each.totals, name) for name in counters.OF_A_DEVICE)
        yield _key(each.totals), _Entry(before=before, reported_requests=each.reported_requests)


def _key(totals: edge.DeviceTotals) -> EntryKey:
    under = (totals.model, totals.release, totals.epoch, totals.candidate_weight_bps)
    return EntryKey(*under, totals.arm, totals.version)


def _message(key: EntryKey, entry: _Entry) -> edge.DeviceTotals:
    counts = dict(zip(counters.OF_A_DEVICE, entry.totals, strict=True))
    return edge.DeviceTotals(
        model=key.model,
        release=key.release,
        epoch=key.epoch,
        candidate_weight_bps=key.candidate_weight_bps,
        arm=telemetry.Arm.ValueType(key.arm),
        version=key.version,
        **counts,
    )
