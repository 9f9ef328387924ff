"""What every request must keep before a page sees it, and the headers that every answer carries.

A foreign Host may be a rebound name of this machine's loopback. A foreign Origin is another site that posts in the name
of whoever is signed in. A body has a limit and a time.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headgate.domain.address import is_loopback
from services.portal.bodies import BODY_SECONDS, declares_too_much

MAX_PATH_CHARACTERS = 2_000
"""No page has a longer one, and Python reads no number with more than 4,300 digits."""
MAX_BODY_BYTES = 1 << 20
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The hosts that a request may name beside the loopback, and the size of bodies by the begin of their path."""

    hosts: Collection[str] = ()
    """Such as console.example.com, without a port."""
    body_bytes: Sequence[tuple[str, int]] = ()


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app, self._bounds = app, bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        sender = _with_headers(scope, send)
        refused = self._refusal(scope["method"], headers, scope["path"])
        if refused is not None:
            return await refused(scope, receive, sender)
        body = _BoundedBody(receive, self._most_bytes(scope["path"]))
        await self._app(scope, body, sender)

    def _refusal(self, method: str, headers: Headers, path: str) -> PlainTextResponse | None:
        if not self._is_own(headers.get("host", "")):
            return _text(421, "this console does not answer under that name: HEADGATE_CONSOLE_URL sets its name")
        if method not in SAFE_METHODS and not _from_own_page(headers):
            return _text(403, "this request comes from a page of another site, so it is refused")
        if len(path) > MAX_PATH_CHARACTERS:
            return _text(414, f"the path may have {MAX_PATH_CHARACTERS} characters")
        most_bytes = self._most_bytes(path)
        if declares_too_much(headers, most_bytes):
            return _text(413, f"the body may have {most_bytes} bytes")
        return None

    def _is_own(self, host: str) -> bool:
        name = _host_of(host)
        return is_loopback(name) or name in self._bounds.hosts

    def _most_bytes(self, path: str) -> int:
        return next((most for begin, most in self._bounds.body_bytes if path.startswith(begin)), MAX_BODY_BYTES)


def _from_own_page(headers: Headers) -> bool:
    """Programs send neither header. A browser sends at least one with each post, and no page can change them."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or _netloc_of(origin) == headers.get("host", "").lower()


def _netloc_of(origin: str) -> str:
    """The host and port of an Origin; empty for `null` and for what is no URL."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _text(status: int, line: str) -> PlainTextResponse:
    return PlainTextResponse(f"{line}\n", status)


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            # Of the loopback it would bind the other programs of this machine too.
            if scope.get("scheme") == "https" and not is_loopback(_host_of(Headers(scope=scope).get("host", ""))):
                headers["strict-transport-security"] = "max-age=31536000"
        await send(message)

    return sending


class _BoundedBody:
    """A body whose length nobody has declared is counted while it comes. Its time counts from its first part on."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._left, self._is_whole = receive, most_bytes, False
        self._until = 0.0

    async def __call__(self) -> Message:
        if self._is_whole:  # what comes now is the end of the connection, for which a stream waits
            return await self._receive()
        self._until = self._until or asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, f"the body took more than {BODY_SECONDS:g} s") from error
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._left < 0:
                raise HTTPException(413, "the body is too large")
        return message
