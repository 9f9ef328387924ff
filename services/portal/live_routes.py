"""The streams of pages: /live and then the path of a page."""

from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from services.portal.live import Live
from services.portal.page import NoSuchPage, Page
from services.portal.site import Site, own_url
from services.portal.viewer import Viewer

PREFIX = "/live"


def live_routes(site: Site, live: Live, pages: Sequence[Page]) -> list[BaseRoute]:
    """One route for each page."""
    return [Route(PREFIX + page.path, _answer(site, live, page), methods=["GET"]) for page in pages]


def _answer(site: Site, live: Live, page: Page) -> Any:
    async def answer(request: Request) -> Any:
        viewer = await run_in_threadpool(site.viewers.viewer, request)
        if viewer is None:
            return PlainTextResponse("sign in first\n", 401)
        if live.is_full:
            return PlainTextResponse("too many pages are open; load this one again to see what is new\n", 503)
        url = own_url(request).removeprefix(PREFIX)
        return live.stream((url, viewer.key), _maker(site, page, viewer, request, url), page.most_seconds)

    return answer


def _maker(site: Site, page: Page, viewer: Viewer, request: Request, url: str) -> Any:
    path, query = dict(request.path_params), dict(request.query_params)

    def make() -> str:
        now = site.viewers.viewer(request)
        if now is None:
            return render_ended(site, url)
        try:
            return site.html(page, now, path, query, url, whole=False)
        except NoSuchPage as error:
            return site.part("error.html", {"status": 404, "problem": str(error)}, now, url)

    return make


def render_ended(site: Site, url: str) -> str:
    """What takes the place of a page whose viewer may see it no more."""
    problem = "your sign-in has ended: load this page again to sign in"
    return site.part("error.html", {"status": 401, "problem": problem}, None, url)
