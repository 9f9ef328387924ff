"""A console over real folded facts, without ports: stories are decided by the registry's own rules."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from headgate.access.secret import digest_of
from headgate.lifecycle.folded_access import FoldedAccess
from headgate.lifecycle.past import Past
from headgate.runtime.authentication.authenticator import Authenticator, TokenVerifier
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.call_check import CallCheck
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.actions import action_routes
from services.portal.callers import CallRefused
from services.portal.causes import Causes
from services.portal.guard import Bounds
from services.portal.live import Live
from services.portal.live_routes import live_routes
from services.portal.oidc.routes import ProviderParts, ProviderSignIn
from services.portal.pages import PAGES
from services.portal.sessions import Once, Sessions
from services.portal.sign_in import SignIn
from services.portal.site import Site, application
from services.portal.sources import Sources
from services.portal.viewer import Viewer, Viewers
from services.portal.world import World
from tests.histories.recorder import Recorder, new_recorder
from tests.portal.asgi import Answer, call

ADMINISTRATOR = "hgt_" + "a" * 43
"""A token that may do everything."""
YEAR_MS = 365 * 86_400_000


class Calls:
    """In place of the other services: keeps what it was asked for."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.answer: worker_services.ListPilotsResponse | None = None
        self.refusal = ""

    def pilots(self, viewer: Viewer) -> worker_services.ListPilotsResponse | None:
        return self.answer

    def registry(self, viewer: Viewer, method: str, request: Any) -> None:
        self.release(viewer, method, request)

    def release(self, viewer: Viewer, method: str, request: Any) -> None:
        self.sent.append((viewer.name, method, request))
        if self.refusal:
            raise CallRefused(self.refusal)


class Console:
    """The application, and a browser that keeps its cookie."""

    def __init__(
        self,
        recorder: Recorder,
        hosts: tuple[str, ...] = (),
        asks: bool = True,
        signed: TokenVerifier | None = None,
        provider: ProviderParts | None = None,
    ) -> None:
        self.recorder, self.fold = recorder, recorder._fold
        names = (f"name-{number}" for number in count())
        known = FoldedAccess(self.fold)
        check = CallCheck(Authenticator(known.token, lambda: recorder.now_ms, signed), known, Metrics("portal"))
        self.sessions = Sessions(time.monotonic, lambda: next(names))
        self.viewers = Viewers(check if asks else None, self.sessions, is_encrypted=True)
        self.live = Live()
        self.calls = Calls()
        past = Past(recorder._log, self.fold)
        sources = Sources(past, self.calls, self.fold.lock, lambda: self.fold.streams, Causes(past))
        self.site = Site(self.viewers, self._world, sources)
        self.links: Once[str] = Once(time.monotonic)
        sign_in = SignIn(self.viewers, self.links, lambda: next(names), provider.name if provider else "")
        routes = [*live_routes(self.site, self.live, PAGES), *sign_in.routes()]
        routes += action_routes(self.viewers, self.calls)
        routes += ProviderSignIn(provider, self.viewers, sign_in).routes() if provider else []
        self.application = application(self.site, PAGES, routes, Bounds(hosts))
        self.cookie = ""

    @contextmanager
    def _world(self) -> Iterator[World]:
        with self.fold.lock:
            yield World(self.fold, self.recorder.now_ms)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._kept(call(self.application, "GET", url, {"cookie": self.cookie, **(headers or {})}))

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        given = {"cookie": self.cookie, "origin": "https://127.0.0.1:7408", **(headers or {})}
        return self._kept(call(self.application, "POST", url, given, form=form))

    def sign_in(self, token: str = ADMINISTRATOR) -> "Console":
        assert self.post("/sign-in", {"token": token, "next": "/"}).status == 303
        return self

    def give(self, token: str, role: facts.Role.ValueType, models: str = "*", name: str = "") -> None:
        """Makes a token."""
        create = commands.CreateToken(
            token=name or f"t{digest_of(token)[:8]}",
            sha256=digest_of(token),
            role=role,
            models=models,
            environments="*",
            expire_time_ms=self.recorder.now_ms + YEAR_MS,
        )
        self.recorder.send("access/default", create)

    def _kept(self, answer: Answer) -> Answer:
        jar = dict(each.split("=", 1) for each in self.cookie.split("; ") if each)
        for pair, _, rest in (line.partition("; ") for line in answer.cookies):
            jar.update([pair.split("=", 1)])
            if "Max-Age=0" in rest:
                del jar[pair.partition("=")[0]]
        self.cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        return answer


@contextmanager
def console(folder: Path, hosts: tuple[str, ...] = (), asks: bool = True) -> Iterator[Console]:
    """A console over a log that has the token of an administrator."""
    with new_recorder(folder) as (recorder, _):
        found = Console(recorder, hosts, asks)
        found.give(ADMINISTRATOR, facts.ROLE_ADMINISTRATOR, name="root")
        yield found
