"""The application: the routes of pages, of sign-in, of the files, and the way from a request to a rendered page."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from headgate.domain.names import model_stream
from headgate.domain.printable import printable
from headgate.lifecycle.past import FactsLimit
from headgate.lifecycle.stream import Stream
from headgate.log.port import LogError
from services.portal.guard import Bounds, Guard
from services.portal.page import Look, NoSuchPage, Page
from services.portal.rendering import render, static_files, static_url
from services.portal.sources import Sources
from services.portal.timeline import BadTime, Timeline, moment_of, timeline
from services.portal.viewer import Viewer, Viewers
from services.portal.world import World, world_at

MAX_SHOWN = 300
PART_HEADER = "x-part"
"""Of a request for what stands in <main> alone."""
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

logger = logging.getLogger(__name__)

OpenWorld = Callable[[], AbstractContextManager[World]]
"""Gives the present state, and holds its lock meanwhile."""


class Site:
    """Renders pages. Each page is made once for its first answer, and again for each viewer who stays on it."""

    def __init__(self, viewers: Viewers, world: OpenWorld, sources: Sources, file: str = "") -> None:
        """`file` names the exported log that all of it is of."""
        self.viewers, self._world, self._sources, self._file = viewers, world, sources, file

    def html(
        self, page: Page, viewer: Viewer, path: Mapping[str, Any], query: Mapping[str, str], url: str, *, whole: bool
    ) -> str:
        """The page as HTML. Raises NoSuchPage, BadTime, FactsLimit and LogError."""
        with self._world() as now:
            present = World(now.folded, now.now_ms, file=self._file)
        at = query.get("at", "")
        if at:
            look = Look(world_at(self._sources.past, moment_of(at, present.now_ms), self._file), viewer, path, query)
            look = replace(look, gathered=page.gather(self._sources, look))
            shown = page.model(look)
            with self._world() as now:
                slider = self._slider(page, look, now)
                return self._rendered(page, shown, look, slider, url, whole)
        gathered = page.gather(self._sources, Look(present, viewer, path, query))
        with self._world() as now:
            look = Look(now, viewer, path, query, gathered)
            return self._rendered(page, page.model(look), look, self._slider(page, look, now), url, whole)

    def _slider(self, page: Page, look: Look, now: World) -> Timeline | None:
        streams, wanted = now.folded.streams, page.stream(look.path)
        found = [streams.get(wanted)] if wanted else self._visible(look.viewer, now)
        return timeline((each for each in found if each is not None), look.world.now_ms, look.world.is_past)

    def _visible(self, viewer: Viewer, now: World) -> Iterator[Stream]:
        for state in now.folded.models.values():
            stream = now.folded.streams.get(model_stream(state.name))
            if stream is not None and viewer.sees(state.name):
                yield stream

    def _rendered(self, page: Page, shown: Any, look: Look, slider: Timeline | None, url: str, whole: bool) -> str:
        moment = urlencode({"at": look.query["at"]}) if look.world.is_past else ""
        values = {
            "page": shown,
            "viewer": look.viewer,
            "world": look.world,
            "slider": slider,
            "url": url,
            "here": url.partition("?")[0],
            "kept": _kept(look.query),
            "moment": f"?{moment}" if moment else "",
            "and_moment": f"&{moment}" if moment else "",
            "is_open": self.viewers.is_open,
            "file": self._file,
        }
        return render(page.template, values, whole=whole)

    def part(self, template: str, shown: Any, viewer: Viewer | None, url: str, *, whole: bool = False) -> str:
        """What stands in <main>, made of no state."""
        values = {"page": shown, "viewer": viewer, "world": None, "is_open": self.viewers.is_open}
        values |= {"file": self._file, "slider": None, "url": url, "here": url.partition("?")[0]}
        return render(template, values, whole=whole)

    def error(self, status: int, problem: str, viewer: Viewer | None = None) -> HTMLResponse:
        """A page that says what went wrong."""
        shown = {"status": status, "problem": printable(problem)[:MAX_SHOWN]}
        return HTMLResponse(self.part("error.html", shown, viewer, "", whole=True), status)

    async def answer(self, page: Page, request: Request) -> Response:
        """The page for this request, or the way to sign in."""
        return await run_in_threadpool(self._answer, page, request)

    def _answer(self, page: Page, request: Request) -> Response:
        viewer = self.viewers.viewer(request)
        if viewer is None:
            return to_sign_in(request)
        try:
            query = dict(request.query_params)
            whole = PART_HEADER not in request.headers
            html = self.html(page, viewer, request.path_params, query, own_url(request), whole=whole)
        except NoSuchPage as error:
            return self.error(404, str(error), viewer)
        except (BadTime, FactsLimit) as error:
            return self.error(400, str(error), viewer)
        except LogError as error:
            return self.error(503, f"the log cannot be read now: {error}", viewer)
        return HTMLResponse(html)


def _kept(query: Mapping[str, str]) -> str:
    """The fields that stay when the slider moves, before its own."""
    kept = urlencode({name: value for name, value in query.items() if name not in ("at", "page")})
    return f"{kept}&" if kept else ""


def own_url(request: Request) -> str:
    """The path and the query of a request."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def to_sign_in(request: Request) -> Response:
    """Sends a person to the sign-in, and back afterwards."""
    return RedirectResponse(f"/sign-in?next={quote(own_url(request), safe='')}", 303)


def application(site: Site, pages: Sequence[Page], routes: Sequence[BaseRoute], bounds: Bounds) -> ASGIApp:
    """The ASGI application. `routes` are those beside the pages."""

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if "text/html" in request.headers.get("accept", ""):
            return site.error(error.status_code, _problem(error, request))
        return PlainTextResponse(f"{_problem(error, request)}\n", error.status_code, error.headers)

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("a page failed", extra={"path": request.url.path}, exc_info=error)
        return site.error(500, "this page has failed; the log of the portal says why")

    found = Starlette(
        routes=[*map(_route(site), pages), *routes, Route("/static/{digest}/{name:path}", _static)],
        exception_handlers={HTTPException: failed, Exception: broken},
    )
    return Guard(found, bounds)  # around everything, so that the answer to a failure has its headers too


def _route(site: Site) -> Callable[[Page], Route]:
    def route(page: Page) -> Route:
        async def answer(request: Request) -> Response:
            return await site.answer(page, request)

        return Route(page.path, answer, methods=["GET"])

    return route


def _problem(error: HTTPException, request: Request) -> str:
    if error.status_code == 404 and error.detail == "Not Found":
        return f"there is nothing at {request.url.path}"
    return error.detail


async def _static(request: Request) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    if name not in static_files() or static_url(name) != f"/static/{digest}/{name}":
        raise HTTPException(404)
    media_type = TYPES.get("." + name.rpartition(".")[2], "text/plain; charset=utf-8")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(static_files()[name], headers=headers, media_type=media_type)
