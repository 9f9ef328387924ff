"""Signing in: by a one-time link of `headgate up`, with a token, or at the identity provider. And signing out."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.portal.forms import form_of, require_word
from services.portal.rendering import render
from services.portal.sessions import Once, Renewed
from services.portal.viewer import Viewers

MAX_TOKEN_CHARACTERS = 16_384


class SignIn:
    """The routes. `provider` is the name of the identity provider; empty where people cannot sign in at one."""

    def __init__(self, viewers: Viewers, links: Once[str], new_name: Callable[[], str], provider: str = "") -> None:
        self._viewers, self._links, self._new_name, self._provider = viewers, links, new_name, provider

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/sign-in", self._page, methods=["GET"]),
            Route("/sign-in", self._with_token, methods=["POST"]),
            Route("/sign-in/links", self._make_link, methods=["POST"]),
            Route("/sign-in/link/{name}", self._by_link, methods=["GET"]),
            Route("/sign-out", self._out, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self.shown(own_path(request.query_params.get("next", "/")))

    def shown(self, next_path: str, problem: str = "", status: int = 200) -> Response:
        """The page on which people sign in, with what went wrong before."""
        if self._viewers.is_open:
            return RedirectResponse(next_path, 303)
        values = {"next": next_path, "problem": problem, "provider": self._provider}
        return HTMLResponse(render("sign_in.html", values), status)

    async def _with_token(self, request: Request) -> Response:
        form = await form_of(request)
        token, next_path = form.get("token", "").strip(), own_path(form.get("next", "/"))
        is_token = 0 < len(token) <= MAX_TOKEN_CHARACTERS and token.isascii() and token.isprintable()
        viewer = await run_in_threadpool(self._viewers.proven, token, request) if is_token else None
        if viewer is None:
            return self.shown(next_path, "This token does not hold. Is it whole, and not expired or revoked?", 401)
        return self.signed_in(token, next_path, request)

    async def _make_link(self, request: Request) -> Response:
        """For programs: whoever shows a token gets the path of a link that signs in once with it."""
        viewer = await run_in_threadpool(self._viewers.viewer, request)
        if viewer is None or not request.headers.get("authorization"):
            raise HTTPException(401, "show a token in the header authorization", {"www-authenticate": "Bearer"})
        name = self._new_name()
        self._links.put(name, viewer.token)
        return JSONResponse({"path": f"/sign-in/link/{name}"})

    async def _by_link(self, request: Request) -> Response:
        token = self._links.take(request.path_params["name"])
        if token is None:
            return self.shown("/", "This link was used, or its time is over. `headgate console` prints another.", 401)
        return self.signed_in(token, "/", request)

    async def _out(self, request: Request) -> Response:
        form = await form_of(request)
        session = self._viewers.session(request)
        if session is not None:
            require_word(request, session.form_word, form)
        self._viewers.sessions.end(request.cookies.get(self._viewers.cookie, ""))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(self._viewers.cookie, secure=self._viewers.is_encrypted, httponly=True, samesite="lax")
        return answer

    def signed_in(self, token: str, next_path: str, request: Request, renewed: Renewed | None = None) -> Response:
        """Ends the browser's session before, if any, and begins one with a new name, which nobody can choose."""
        self._viewers.sessions.end(request.cookies.get(self._viewers.cookie, ""))
        answer = RedirectResponse(next_path, 303)
        answer.set_cookie(
            self._viewers.cookie,
            self._viewers.sessions.begin(token, renewed),
            secure=self._viewers.is_encrypted,
            httponly=True,
            samesite="lax",
        )
        return answer


def own_path(path: str) -> str:
    """The path when it leads to a page of the console; else the first page. `//host` and `/\\host` lead elsewhere."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and not path.startswith(("/sign-", "/live")) else "/"
