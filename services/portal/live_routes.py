"""The streams of pages: /live and then the path of a page."""

from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from services.portal.live import Followed, Live
from services.portal.page import NoSuchPage, Page
from services.portal.site import Site, own_url
from services.portal.viewer import Viewer

PREFIX = "/live"
ENDED = "your sign-in has ended, or your grants have changed: load this page again"


def live_routes(site: Site, live: Live, pages: Sequence[Page]) -> list[BaseRoute]:
    """One route for each page."""
    return [Route(PREFIX + page.path, _answer(site, live, page), methods=["GET"]) for page in pages]


def _answer(site: Site, live: Live, page: Page) -> Any:
    async def answer(request: Request) -> Any:
        viewer = await run_in_threadpool(site.viewers.viewer, request)
        if viewer is None:
            return PlainTextResponse("sign in first\n", 401)
        if request.query_params.get("at"):
            return PlainTextResponse("a page of the past does not change\n", 400)
        if live.is_full(_caller(viewer)):
            return PlainTextResponse("too many pages are open; load this one again to see what is new\n", 503)
        url = own_url(request).removeprefix(PREFIX)
        return live.stream(_followed(site, page, viewer, request, url))

    return answer


def _followed(site: Site, page: Page, viewer: Viewer, request: Request, url: str) -> Followed:
    path, query = dict(request.path_params), dict(request.query_params)

    def make() -> str:
        try:
            return site.html(page, viewer, path, query, url, whole=False)
        except NoSuchPage as error:
            return site.part("error.html", {"status": 404, "problem": str(error)}, viewer, url)

    def ended() -> str:
        nonlocal viewer
        now = site.viewers.viewer(request)
        if now is not None and now.key == viewer.key:
            viewer = now  # its token may have been renewed
            return ""
        return site.part("error.html", {"status": 401, "problem": ENDED}, None, url)

    return Followed((url, viewer.key), make, page.most_seconds, ended, _caller(viewer))


def _caller(viewer: Viewer) -> str:
    return viewer.subject.name if viewer.subject else ""
