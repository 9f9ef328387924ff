"""Calls of the other services in the name of whoever looks: by the viewer's own token alone."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from headgate.client.errors import failure
from headgate.client.stubs import Stubs
from headgate.runtime.rpc.headers import ACTOR, AUTHORIZATION
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.viewer import SCHEME, Viewer

CALL_SECONDS = 10.0
ASK_SECONDS = 1.0
"""How long a page waits for what it can do without."""
KEPT_SECONDS = 1.0
"""How long the answer about one model serves all who may read it."""
MAX_KEPT = 500
ACTOR_NAME = "console"
"""The name in the log of what was done where callers need not prove who they are."""

logger = logging.getLogger(__name__)


class CallRefused(Exception):
    """A service has refused a call, or does not answer. The message is for the person who pressed the button."""


class Callers:
    """Every method may be called on any thread."""

    def __init__(self, stubs: Stubs, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stubs, self._monotonic = stubs, monotonic
        self._lock = threading.Lock()
        self._pilots: dict[tuple[object, ...], tuple[float, worker_services.ListPilotsResponse | None]] = {}

    def release(self, viewer: Viewer, method: str, request: Any) -> Any:
        """Sends a command about a release. Raises CallRefused."""
        return self._call(getattr(self._stubs.releases, method), request, viewer)

    def registry(self, viewer: Viewer, method: str, request: Any) -> Any:
        """Sends a command about a version. Raises CallRefused."""
        return self._call(getattr(self._stubs.registry, method), request, viewer)

    def pilots(self, viewer: Viewer) -> worker_services.ListPilotsResponse | None:
        """What the deployer knows of running releases; None when it does not answer."""
        now = self._monotonic()
        with self._lock:
            kept = self._pilots.get(viewer.key)
        if kept and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        try:
            found = self._stubs.deployer.ListPilots(
                worker_services.ListPilotsRequest(), timeout=ASK_SECONDS, metadata=_proof(viewer)
            )
        except grpc.RpcError as error:
            logger.debug("the deployer does not answer", extra={"error": str(error)})
            found = None
        with self._lock:
            if len(self._pilots) >= MAX_KEPT:
                self._pilots.clear()
            self._pilots[viewer.key] = (now, found)
        return found

    def close(self) -> None:
        self._stubs.close()

    def _call(self, method: Any, request: Any, viewer: Viewer) -> Any:
        try:
            return method(request, timeout=CALL_SECONDS, metadata=_proof(viewer))
        except grpc.RpcError as error:
            raise CallRefused(str(failure(error))) from error


def _proof(viewer: Viewer) -> tuple[tuple[str, str], ...]:
    return ((AUTHORIZATION, SCHEME + viewer.token),) if viewer.token else ((ACTOR, ACTOR_NAME),)
