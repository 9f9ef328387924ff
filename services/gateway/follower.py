"""Follows the folded log and keeps the routing table true to it. The request path only reads `table`."""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from headgate.domain.model import ModelState
from headgate.v1 import facts_pb2 as facts
from services.gateway.evidence import EvidenceBook
from services.gateway.routes import Route, routes
from services.gateway.sessions import Load
from services.gateway.shelf import Shelf, VersionKey
from services.gateway.table import Table, join
from services.gateway.tally import TallyBook

FOLD_WAIT_SECONDS = 0.5
"""Longest wait for a fact before the follower looks whether it has been closed."""


class Fold(Protocol):
    """What the gateway needs of the lifecycle's fold."""

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
    """`on_change` is called after each replacement of the table that changed its status, and after the first."""

    def __init__(
        self,
        fold: Fold,
        environment: str,
        load: Load,
        book: EvidenceBook,
        tallies: TallyBook,
        on_change: Callable[[], None],
    ) -> None:
        self._fold = fold
        self._environment = environment
        self._book = book
        self._tallies = tallies
        self._on_change = on_change
        self._shelf = Shelf(load, self._rebuild)
        self._rebuilding = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._closing = threading.Event()
        self._routed = False
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self.table = Table()

    def start(self) -> None:
        """Begins once the fold has caught up: what was routed in the past is neither loaded nor reported."""
        self._shelf.start()
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        self._shelf.close()
        self._thread.join(FOLD_WAIT_SECONDS * 2)

    def settled(self) -> bool:
        """Whether every version that must answer now is loaded or has been found to fail."""
        return self._routed and all(
            n in entry.versions or n in entry.failures
            for entry in self.table.entries.values()
            for n in entry.route.weighted
        )

    def apply(self) -> int:
        """Brings the table to the fold's present state; returns the revision it saw."""
        with self._fold.lock:
            revision = self._fold.revision
            wanted = routes(self._fold.models, self._environment)
            artifacts = _artifacts(wanted, self._fold.models)
        self._routes = wanted
        self._shelf.want(artifacts)
        self._rebuild()
        return revision

    def _follow(self) -> None:
        while not self._closing.is_set() and not self._fold.wait_caught_up(FOLD_WAIT_SECONDS):
            pass
        while not self._closing.is_set():
            revision = self.apply()
            while not self._closing.is_set() and self._fold.wait_change(revision, FOLD_WAIT_SECONDS) == revision:
                pass

    def _rebuild(self) -> None:
        with self._rebuilding:
            before = self.table
            self.table = join(self._routes, self._shelf.ready(), self._shelf.failures(), self._book, self._tallies)
            changed = not self._routed or self.table.statuses() != before.statuses()
            self._routed = True
        if changed:
            self._on_change()


def _artifacts(wanted: Mapping[str, Route], models: Mapping[str, ModelState]) -> dict[VersionKey, facts.Artifact]:
    """Copies, since the fold changes its messages in place."""
    artifacts: dict[VersionKey, facts.Artifact] = {}
    for model, route in wanted.items():
        for version in route.wanted:
            artifact = facts.Artifact()
            if version in models[model].versions:
                artifact.CopyFrom(models[model].versions[version].artifact)
            artifacts[model, version] = artifact
    return artifacts
