"""The console over the file of an exported log: for this machine alone, to be read alone, without any other service.

Its present is the time of the last fact. Whoever opens the link that it prints may read all of the file.
"""

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from headgate.lifecycle.past import Past
from headgate.lifecycle.replay import fold_all
from headgate.lifecycle.stream import Stream
from headgate.log.open import EXPORTED, is_exported, open_log
from headgate.log.port import EventLog
from headgate.runtime.service import GRACE_SECONDS, ProcessSettings
from headgate.runtime.settings import CHECK
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.causes import Causes
from services.portal.guard import Bounds
from services.portal.http_server import HttpServer
from services.portal.pages import PAGES
from services.portal.sessions import NAME_BYTES, Once, Sessions
from services.portal.site import Site, application
from services.portal.sources import Sources
from services.portal.viewer import Viewer, Viewers
from services.portal.world import World

HOST = "127.0.0.1"
PREFIX = "HEADGATE_FILE_CONSOLE_"
"""Of the names of its settings."""
LINK = "/sign-in/link"
OPEN_THE_LINK = "open the link that `headgate console --log` has printed; it opens this console once, in one browser"


def _require_exported(url: str) -> None:
    if not is_exported(url):
        raise ValueError("expected file:PATH of an exported log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProcessSettings):
    log: str = field(metadata={CHECK: _require_exported})
    """file:PATH of the exported log."""
    port: int = 0
    """The HTTP port on the loopback; 0 for any free port."""


class LinkViewers(Viewers):
    """Whoever holds a session may read everything. There is no token, and a session begins by the link alone."""

    def __init__(self, sessions: Sessions, name: str) -> None:
        super().__init__(None, sessions, is_encrypted=False)
        self.cookie = f"headgate-file-{name}"
        """A cookie belongs to all ports of a host, so each console has a name of its own."""

    @property
    def is_open(self) -> bool:
        """No page offers to sign out: nobody has signed in with anything."""
        return True

    def viewer(self, request: Request) -> Viewer | None:
        """Whoever has opened the link; None for everybody else."""
        return Viewer(None) if self.session(request) is not None else None


class NoDeployer:
    """In place of the deployer: a file has none."""

    def pilots(self, viewer: Viewer) -> worker_services.ListPilotsResponse | None:
        """Nothing."""
        return None


class WholeFold:
    """A fold that is finished, so nobody has to lock it."""

    lock: AbstractContextManager[object] = nullcontext()

    def __init__(self, log: EventLog) -> None:
        self.folded = fold_all(log)

    @property
    def streams(self) -> Mapping[str, Stream]:
        """All streams of the file."""
        return self.folded.streams


class FileConsole:
    """The running console. `link` is where a browser begins, once it has started."""

    name, grace_seconds = "console", GRACE_SECONDS

    def __init__(self, settings: Settings, say: Callable[[str], object]) -> None:
        """Reads the whole file. Raises LogError."""
        self._log, self._say = open_log(settings.log), say
        self.application, self._path = file_application(self._log, Path(settings.log.removeprefix(EXPORTED)).name)
        self._http = HttpServer(self.application, HOST, settings.port, None)
        self.link = ""

    def start(self) -> int:
        """Opens the port, says the link, and returns the port."""
        port = self._http.start()
        self.link = f"http://{HOST}:{port}{self._path}"
        self._say(f"{self.link}\n")
        return port

    def stop(self, grace_seconds: float) -> None:
        """Answers the requests in progress, and closes the file."""
        self._http.stop(grace_seconds)
        self._log.close()


def file_application(log: EventLog, file: str) -> tuple[ASGIApp, str]:
    """The application over all facts of this log, and the path of the link that opens it once."""
    whole = WholeFold(log)
    past = Past(log, whole)
    end_ms = (past.span() or (0, 0))[1]

    @contextmanager
    def world() -> Iterator[World]:
        yield World(whole.folded, end_ms, file=file)

    viewers = LinkViewers(Sessions(time.monotonic, _new_name), secrets.token_hex(4))
    sources = Sources(past, NoDeployer(), whole.lock, lambda: whole.streams, Causes(past))
    links: Once[str] = Once(time.monotonic)
    name = _new_name()
    links.put(name, file)
    site = Site(viewers, world, sources, file)
    return application(site, PAGES, _link_routes(viewers, links), Bounds()), f"{LINK}/{name}"


def _link_routes(viewers: LinkViewers, links: Once[str]) -> Sequence[BaseRoute]:
    async def begin(request: Request) -> Response:
        if links.take(request.path_params["name"]) is None:
            raise HTTPException(401, "this link was used, or its time is over; start `headgate console --log` again")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(viewers.cookie, viewers.sessions.begin(""), httponly=True, samesite="lax")
        return answer

    async def closed(request: Request) -> Response:
        raise HTTPException(401, OPEN_THE_LINK)

    return [Route(f"{LINK}/{{name}}", begin), Route("/sign-in", closed)]


def _new_name() -> str:
    return secrets.token_urlsafe(NAME_BYTES)


def build(settings: Settings) -> FileConsole:
    """A console that has not started yet, and says its link on standard output."""

    def say(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    return FileConsole(settings, say)
