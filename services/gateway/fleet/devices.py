"""Counts the devices that follow this gateway, and says which versions they refuse."""

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc

from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.v1 import telemetry_pb2 as telemetry

logger = logging.getLogger(__name__)

MAX_WATCHES = 10_000
"""Devices that follow one gateway."""
MAX_REFUSING = 20_000
"""Devices whose refused versions are remembered."""
MAX_LINES = 20
"""Log lines on one version that devices refuse. The gauge shows all of these devices."""
MAX_VERSIONS_LOGGED = 1_000
RETRY_SECONDS = 30.0
WATCHING, REFUSING = "headgate_edge_devices", "headgate_edge_devices_refusing"
NAMES = (WATCHING, REFUSING)

Refused = frozenset[tuple[str, int]]


class Devices:
    """Every method may be called on any thread."""

    def __init__(self, metrics: Metrics, max_watches: int = MAX_WATCHES) -> None:
        self._max_watches = max_watches
        self._lock = threading.Lock()
        self._watches = 0
        self._refusing: dict[str, Refused] = {}
        self._lines: Counter[tuple[str, int]] = Counter()
        self._totals = metrics.counter("headgate_edge_totals_total")
        metrics.read_at_scrape(NAMES, self._readings)

    @property
    def watching(self) -> int:
        """How many devices follow the routes now."""
        return self._watches

    @contextmanager
    def watch(self) -> Iterator[None]:
        """One device follows the routes meanwhile. Raises RpcRefused when there are too many."""
        with self._lock:
            if self._watches >= self._max_watches:
                rule = f"{self._max_watches} devices follow this gateway, which is the most; add gateways"
                raise RpcRefused(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-devices", rule, retry_after_seconds=RETRY_SECONDS
                )
            self._watches += 1
        try:
            yield
        finally:
            with self._lock:
                self._watches -= 1

    def count(self, outcome: str) -> None:
        """Counts what became of one device's totals."""
        self._totals.labels(outcome).inc()

    def note(self, device: str, routes: Iterable[telemetry.RouteStatus]) -> None:
        """Notes which versions a device refuses. The first devices of each version get a log line with the reason."""
        failures = {(route.model, each.version): each.reason for route in routes for each in route.failures}
        with self._lock:
            known = self._refusing.pop(device, frozenset())
            if failures and len(self._refusing) < MAX_REFUSING:
                self._refusing[device] = frozenset(failures)
            new = [each for each in failures if each not in known and self._may_log(each)]
        for model, version in new:
            where = {"device": device, "model": model, "version": version}
            logger.warning("a device refuses a version: %s", failures[model, version], extra=where)

    def _may_log(self, version: tuple[str, int]) -> bool:
        if version not in self._lines and len(self._lines) >= MAX_VERSIONS_LOGGED:
            self._lines.clear()
        self._lines[version] += 1
        return self._lines[version] <= MAX_LINES

    def _readings(self) -> Iterator[Reading]:
        with self._lock:
            yield Reading(WATCHING, (), self._watches)
            yield Reading(REFUSING, (), len(self._refusing))
