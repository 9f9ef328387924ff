"""The routes as devices get them, and the files that they may read. The follower publishes, and watches wait here."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.v1 import edge_service_pb2 as edge
from services.gateway.routed import Routed, files_needed, routes_for_devices, token_of

MAX_SELECTIONS = 64
"""Different sets of models whose routes are kept. Others are made again for each device."""


@dataclass(frozen=True, slots=True)
class Published:
    """Routes with their token."""

    routes: edge.EdgeRoutes
    token: str


class Catalogue:
    """Any thread publishes. Everything else runs on one event loop."""

    def __init__(self, environment: str, loop: asyncio.AbstractEventLoop) -> None:
        self.environment = environment
        self._loop = loop
        self._lock = threading.Lock()
        self._routed: Routed | None = None
        self._selections: dict[frozenset[str], Published] = {}
        self._sizes: Mapping[str, int] = {}
        self._revision = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self.is_closed = False

    def publish(self, routed: Routed) -> None:
        """Replaces the routes and wakes the watches."""
        sizes = {sha256: size for each in routed.artifacts.values() for sha256, size in files_needed(each)}
        with self._lock:
            if self._routed == routed:
                return
            self._routed, self._selections, self._sizes = routed, {}, sizes
            self._revision += 1
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._wake)

    def published(self, models: frozenset[str]) -> Published | None:
        """The routes of these models, or of all without any; None before the first routes are known."""
        with self._lock:
            if self._routed is None:
                return None
            found = self._selections.get(models)
            if found is None:
                routes = routes_for_devices(self._routed, self.environment, models)
                found = Published(routes, token_of(routes))
                if len(self._selections) < MAX_SELECTIONS:
                    self._selections[models] = found
            return found

    def size_of(self, sha256: str) -> int | None:
        """The size of a file that a route names, 0 when it is not known; None when no route names it."""
        with self._lock:
            return self._sizes.get(sha256)

    @property
    def revision(self) -> int:
        """Another number after each change. Read it before what it stands for."""
        return self._revision

    async def wait_change(self, revision: int, timeout_seconds: float) -> None:
        """Returns once there is another revision or the catalogue is closed, and after this time at the latest."""
        if self._revision != revision or self.is_closed:
            return
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_seconds)
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """Ends all waits. Call it on the event loop."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
