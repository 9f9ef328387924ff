"""Puts the portal together; the only place that does."""

import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import grpc
from starlette.routing import BaseRoute

from headgate.client.stubs import Stubs
from headgate.client.tls import ClientTls
from headgate.domain.state import ModelState
from headgate.lifecycle.authentication_setting import administrators_of, call_check
from headgate.lifecycle.folded_access import FoldedAccess
from headgate.lifecycle.past import Past
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import PORTAL
from headgate.worker.parts import WorkerParts
from services.portal.actions import action_routes
from services.portal.api.app import PREFIX as API
from services.portal.api.app import api_routes
from services.portal.api.backends import services_of
from services.portal.callers import Callers
from services.portal.causes import Causes
from services.portal.guard import Bounds
from services.portal.http_server import HttpServer
from services.portal.live import Live
from services.portal.live_routes import live_routes
from services.portal.oidc.parts import provider_parts
from services.portal.oidc.routes import ProviderParts, ProviderSignIn
from services.portal.pages import PAGES
from services.portal.sessions import NAME_BYTES, Once, Sessions
from services.portal.settings import Settings
from services.portal.sign_in import SignIn
from services.portal.site import Site, application
from services.portal.sources import Sources
from services.portal.viewer import Viewers
from services.portal.webhooks.app import PREFIX as WEBHOOKS
from services.portal.webhooks.app import Webhooks
from services.portal.webhooks.secret_files import SecretFiles
from services.portal.world import World

SHARE_OF_PAGES = 0.4
"""Of the grace, for requests in progress. Pages that follow the state end at once, and ask again elsewhere."""
SHARE_OF_CALLS = 0.2
OWN_BOUNDS = ((f"{API}/", sys.maxsize), (f"{WEBHOOKS}/", sys.maxsize))
"""They bound their bodies themselves, and say so in their own form."""


class Portal:
    """The running service: its fold, the console's HTTP port, and a gRPC port that answers health alone."""

    def __init__(self, settings: Settings) -> None:
        self._parts = parts = WorkerParts(PORTAL, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        self._server = parts.serve(_nothing, [])
        known = FoldedAccess(parts.fold, administrators_of(settings))
        sessions = Sessions(time.monotonic, _new_name)
        viewers = Viewers(call_check(settings, parts, known), sessions, settings.browsers_encrypt)
        self._live = Live()
        self._callers = Callers(_stubs(settings))
        past = Past(parts.log, parts.fold)
        sources = Sources(past, self._callers, parts.fold.lock, lambda: parts.fold.streams, Causes(past))
        site = Site(viewers, self._world, sources)
        secret_files = SecretFiles(settings.webhook_secrets)
        self._webhooks = Webhooks(self._models, secret_files, parts.log, parts.clock.now_ms)
        routes = [
            *live_routes(site, self._live, PAGES),
            *_sign_in_routes(viewers, provider_parts(settings, _new_name, parts.clock.now_ms)),
            *action_routes(viewers, self._callers),
            *api_routes(services_of(settings), not viewers.is_open),
            *self._webhooks.routes(),
        ]
        self.application = application(site, PAGES, routes, Bounds(_hosts(settings), OWN_BOUNDS))
        self.http = HttpServer(self.application, settings.host, settings.console_port, parts.tls)

    def start(self) -> int:
        """Opens the port, folds the log and then shows pages. Returns the gRPC port."""
        port = self._parts.open()
        self._parts.fold.on_accepted(lambda _record, _fact: self._live.touch())
        self._parts.fold.on_accepted(lambda _record, fact: self._webhooks.note(fact))
        self.http.start()
        self._parts.ready(self.http)
        return port

    def stop(self, grace_seconds: float) -> None:
        """Ends the pages that follow the state, answers the requests in progress, and leaves the log."""
        deadline = Deadline(grace_seconds)
        self._parts.drain()
        self._live.close()
        self.http.stop(deadline.left(SHARE_OF_PAGES))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._callers.close()
        self._parts.close(deadline)

    @contextmanager
    def _world(self) -> Iterator[World]:
        fold = self._parts.fold
        with fold.lock:
            yield World(fold, self._parts.clock.now_ms())

    @contextmanager
    def _models(self) -> Iterator[Mapping[str, ModelState]]:
        with self._parts.fold.lock:
            yield self._parts.fold.models


def _sign_in_routes(viewers: Viewers, provider: ProviderParts | None) -> list[BaseRoute]:
    sign_in = SignIn(viewers, Once(time.monotonic), _new_name, provider.name if provider else "")
    return [*sign_in.routes(), *(ProviderSignIn(provider, viewers, sign_in).routes() if provider else [])]


def _hosts(settings: Settings) -> tuple[str, ...]:
    host = urlsplit(settings.console_url).hostname
    return (host.lower(),) if host else ()


def _stubs(settings: Settings) -> Stubs:
    certificate, key = settings.tls_certificate, settings.tls_key
    tls = ClientTls(settings.tls_ca, certificate, key) if settings.tls_ca else None
    return Stubs(settings.registry, "", trainer=settings.trainer, deployer=settings.deployer, tls=tls)


def _new_name() -> str:
    return secrets.token_urlsafe(NAME_BYTES)


def _nothing(server: grpc.Server) -> None:
    """Health and reflection stand by themselves."""


def build(settings: Settings) -> Portal:
    """A portal that has not started yet."""
    return Portal(settings)
