"""Follows the fold and keeps the routing table up to date with it. The request path only reads `table`."""

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from headgate.domain.model import ModelState
from headgate.domain.names import model_stream, release_subject, short_name
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import unit_of_work
from headgate.v1 import facts_pb2 as facts
from headgate.worker.isolation import Undecidable, UndecidableReport
from services.gateway.absence import unexplained, why_not_deployable, why_not_here
from services.gateway.evidence import EvidenceCounters
from services.gateway.loading.eviction import Role, VersionKey
from services.gateway.loading.next_load import Wanted, wanted_version
from services.gateway.loading.version_loader import MemoryUse, VersionLoader
from services.gateway.loading.waits import LoadWait
from services.gateway.prediction_metrics import PredictionMetrics
from services.gateway.routed import Routed
from services.gateway.routes import NO_RELEASE, NO_VERSION, Route, routes
from services.gateway.sessions import Load
from services.gateway.table import Entry, Table, build_entries

TraceOf = Callable[[str, str], str]
EXPLAIN_SECONDS = 0.05
"""Longest wait for the fold when a caller asks for a version that is not here."""
FOLD_WAIT_SECONDS = 0.5
"""Longest wait for a fact. After each wait the follower checks whether it was closed."""


def untraced(stream: str, subject: str) -> str:
    """No trace."""
    return ""


def unheard(routed: Routed) -> None:
    """Nobody else follows the routes."""


class Fold(Protocol):
    """The part of LifecycleFold that the gateway uses."""

    @property
    def lock(self) -> threading.RLock: ...

    @property
    def models(self) -> Mapping[str, ModelState]: ...

    @property
    def revision(self) -> int: ...

    @property
    def last_poll_monotonic(self) -> float: ...

    def wait_change(self, revision: int, timeout_seconds: float) -> int: ...

    def wait_caught_up(self, timeout_seconds: float) -> bool: ...


class Follower:
    """Replaces the table whenever the fold or the loaded versions change.

    Calls `on_change` after the first table, and after each table whose status differs from the one before, and
    `on_routes` with each set of routes before their versions are loaded.
    """

    def __init__(
        self,
        fold: Fold,
        environment: str,
        load: Load,
        evidence: EvidenceCounters,
        predictions: PredictionMetrics,
        on_change: Callable[[], None],
        metrics: Metrics,
        trace_of: TraceOf = untraced,
        memory_bytes: int = sys.maxsize,
        on_routes: Callable[[Routed], None] = unheard,
    ) -> None:
        self._fold = fold
        self._environment = environment
        self._evidence = evidence
        self._predictions = predictions
        self._on_change = on_change
        self._trace_of = trace_of
        seconds = metrics.histogram("headgate_version_load_duration_seconds").labels()
        evictions = metrics.counter("headgate_version_evictions_total").labels()
        self._loader = VersionLoader(load, self._rebuild, memory_bytes, seconds.observe, evictions.inc)
        self._on_routes = on_routes
        self._undecidable = UndecidableReport(metrics)
        self._rebuilding = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._withheld: dict[VersionKey, str] = {}
        self._closing = threading.Event()
        self._routed = False
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self.table = Table()

    def start(self) -> None:
        """Starts the threads. They wait for the fold to catch up, so that no outdated route is loaded or reported."""
        self._loader.start()
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the threads."""
        self._closing.set()
        self._loader.close()
        self._thread.join(FOLD_WAIT_SECONDS * 2)

    def loads_finished(self) -> bool:
        """Whether every version that must answer now has been loaded, or has failed to load."""
        return self._routed and all(
            n in entry.versions or n in entry.failures or entry.is_asleep(n)
            for entry in self.table.entries.values()
            for n in entry.route.weighted_versions
        )

    def apply(self) -> int:
        """Brings the table up to date with the fold. Returns the fold's revision."""
        with self._fold.lock:
            revision = self._fold.revision
            found = list(routes(self._fold.models, self._environment))
            undecidable = [each for each in found if isinstance(each, Undecidable)]
            wanted = {route.model: route for route in found if isinstance(route, Route)}
            # A model about which nothing can be decided is served as before.
            kept = {short_name(each.stream) for each in undecidable} & self._routes.keys()
            wanted |= {model: self._routes[model] for model in kept}
            versions = _versions(wanted, self._fold.models)
            withheld = _withheld(wanted, self._fold.models)
        self._undecidable.report(undecidable)
        self._routes, self._withheld = wanted, withheld
        self._loader.set_wanted(versions)
        self._on_routes(Routed(wanted, {key: each.artifact for key, each in versions.items()}, withheld))
        self._rebuild()
        return revision

    def why_missing(self, model: str, number: int) -> str:
        """Why a version cannot answer here, for the caller who names it. Number 0 stands for no number.

        Without the fold it is not known: whoever asks waits for nobody.
        """
        entry = self.table.entries.get(model)
        if entry is not None and number in entry.route.versions:
            return entry.why_missing(number)
        if not self._fold.lock.acquire(timeout=EXPLAIN_SECONDS):
            return unexplained(model, number)
        try:
            return why_not_here(model, number, self._fold.models.get(model), self._environment)
        finally:
            self._fold.lock.release()

    def ask(self, model: str, number: int, expires_at: float) -> LoadWait:
        """Has a sleeping version loaded for a request. Raises TooManyWait."""
        return self._loader.ask((model, number), expires_at)

    def withdraw(self, wait: LoadWait) -> None:
        """The request waits no longer."""
        self._loader.withdraw(wait)

    def memory(self) -> MemoryUse:
        """The memory for versions, and who waits for it."""
        return self._loader.use()

    def _follow(self) -> None:
        while not self._closing.is_set() and not self._fold.wait_caught_up(FOLD_WAIT_SECONDS):
            pass
        while not self._closing.is_set():
            revision = self.apply()
            while not self._closing.is_set() and self._fold.wait_change(revision, FOLD_WAIT_SECONDS) == revision:
                pass

    def _report_switch(self, route: Route, release: int) -> None:
        """Writes one log line and one span for a switch that has already happened."""
        stream = model_stream(route.model)
        numbers = {"stable": route.stable, "candidate": route.candidate, "candidate_bps": route.candidate_bps}
        parent = self._trace_of(stream, release_subject(release))
        with unit_of_work("route", "switch", parent, stream=stream, release=release, epoch=route.epoch, **numbers):
            pass

    def _rebuild(self, models: Collection[str] | None = None) -> None:
        """Replaces the entries of these models, or of all: with many models, a load changes few of them."""
        with self._rebuilding:
            before, routes = self.table.entries, self._routes
            if models is None:
                self._predictions.keep_only(routes)
            else:
                routes = {model: routes[model] for model in models if model in routes}
            built = self._entries(routes)
            left = before.keys() - built.keys() if models is None else ()
            changed = not self._routed or any(before[model].route.versions for model in left)
            changed = changed or any(_status_differs(before.get(model), entry) for model, entry in built.items())
            switched = switches(before, built) if self._routed else []
            self.table = Table(built if models is None else {**before, **built})
            self._routed = True
        for route, release in switched:
            self._report_switch(route, release)
        if changed:
            self._on_change()

    def _entries(self, routes: Mapping[str, Route]) -> dict[str, Entry]:
        loads = self._loader.loads()
        return build_entries(
            routes,
            loads.ready,
            loads.failures,
            self._evidence,
            self._predictions,
            self._withheld,
            loads.asleep,
        )


def _status_differs(before: Entry | None, after: Entry) -> bool:
    """Whether the gateway reports something else of this route than before."""
    if before is None:
        return bool(after.route.versions)
    return before.status() != after.status()


def switches(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[tuple[Route, int]]:
    """The routes that the new entries apply and the old ones did not.

    Each comes with the release that caused the switch: the route's own, or the one that the old route had.
    """
    moved = []
    for model, entry in after.items():
        old = before.get(model)
        was_there = old is not None and old.applied and old.route == entry.route
        if entry.applied and entry.route.versions and not was_there:
            moved.append((entry.route, entry.route.release or (old.route.release if old is not None else NO_RELEASE)))
    return moved


def _withheld(wanted: Mapping[str, Route], models: Mapping[str, ModelState]) -> dict[VersionKey, str]:
    """The routed versions that must not answer a caller who names them. A release may override a quarantine."""
    found: dict[VersionKey, str] = {}
    for model, route in wanted.items():
        for number in route.versions:
            release = models[model].releases.get(route.release)
            overridden = release is not None and release.override_quarantine and number == route.candidate
            version = models[model].versions.get(number)
            if version is not None and (reason := why_not_deployable(model, version, overridden)):
                found[model, number] = reason
    return found


def _versions(wanted: Mapping[str, Route], models: Mapping[str, ModelState]) -> dict[VersionKey, Wanted]:
    """All versions to load. Their artifacts are copies, because the fold changes its messages in place."""
    versions: dict[VersionKey, Wanted] = {}
    for model, route in wanted.items():
        for version in route.versions:
            artifact = facts.Artifact()
            if version in models[model].versions:
                artifact.CopyFrom(models[model].versions[version].artifact)
            versions[model, version] = wanted_version(artifact, _role(route, version))
    return versions


def _role(route: Route, version: int) -> Role:
    if version == route.candidate:
        return Role.FULL_CANDIDATE if route.candidate_bps == FULL_WEIGHT_BPS else Role.CANDIDATE
    return Role.LIVE if route.candidate == NO_VERSION else Role.BESIDE_CANDIDATE
