"""A caller of an ASGI application in the same process, without a network."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

HOST = "127.0.0.1:7408"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Sequence[str] = ()
    """The values of each header set-cookie."""

    @property
    def text(self) -> str:
        return self.body.decode()


def scope_of(method: str, url: str, headers: Mapping[str, str], scheme: str = "https") -> dict[str, Any]:
    path, _, query = url.partition("?")
    given = {"host": HOST, **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items() if value],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 7408),
    }


def call(
    application: Any,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
    form: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to one request. A body of several parts comes without a content-length."""
    given = dict(headers or {})
    if form is not None:
        body = urlencode(form).encode()
        given.setdefault("content-type", "application/x-www-form-urlencoded")
    parts = [body] if isinstance(body, bytes) else list(body)
    if isinstance(body, bytes) and body:
        given.setdefault("content-length", str(len(body)))
    start, *rest = _sent(application, scope_of(method, url, given), parts)
    shown = {name.decode(): value.decode() for name, value in start["headers"]}
    cookies = [value.decode() for name, value in start["headers"] if name == b"set-cookie"]
    return Answer(start["status"], shown, b"".join(part.get("body", b"") for part in rest), cookies)


def _sent(application: Any, scope: dict[str, Any], parts: Sequence[bytes]) -> list[dict[str, Any]]:
    incoming = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await application(scope, receive, send)

    try:
        asyncio.run(run())
    except Exception:
        if not sent:  # Starlette raises what has failed once more, after it has answered
            raise
    return sent
