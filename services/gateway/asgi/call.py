"""One gRPC call on ASGI: its messages in, its messages and its status out, and the context that a servicer gets."""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, NoReturn

import grpc

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.call_check import Shown
from headgate.runtime.rpc.headers import AUTHORIZATION
from headgate.runtime.rpc.peer import PEER_URI, peer_uris
from services.gateway.asgi.wire import (
    ENCODINGS,
    IDENTITY,
    MessageReader,
    Metadata,
    Reserve,
    framed,
    metadata_of,
    status_headers,
    timeout_seconds,
    whole_message,
)

READ_AHEAD_BYTES = 1024 * 1024
"""What may come of a stream before its requests are taken. Reading on is how the end of the caller is seen."""
MAX_KNOWN_CERTIFICATES = 4_096
"""Certificates of callers whose names are kept, so that only the first call of a connection reads one."""
CONTENT_TYPE = b"application/grpc"
_AUTHORIZATION = AUTHORIZATION.encode()

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Trailing = Iterable[tuple[str, str | bytes]]

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", CONTENT_TYPE), (b"grpc-accept-encoding", ENCODINGS)],
    "trailers": True,
}
_OK = {"type": "http.response.trailers", "headers": status_headers(0, ""), "more_trailers": False}


class CallerGone(Exception):
    """The caller cancelled the call, or its connection ended."""


class Aborted(Exception):
    """The servicer ended the call with this status."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Trailing) -> None:
        super().__init__(details)
        self.code, self.details, self.trailing = code, details, trailing


class AsgiCall:
    """A call that has begun. It is also the context of its servicer, with what servicers here use of grpc.aio's."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send, reserve: Reserve) -> None:
        """Raises nothing: what is wrong with the headers is said by `deadline_seconds`."""
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._first = dict(reversed(self._headers))  # of several values of a name, the first
        self._receive, self._send_event = receive, send
        self._client: tuple[str, int] | None = scope.get("client")
        self._tls: Mapping[str, Any] | None = scope.get("extensions", {}).get("tls")
        self._started = time.monotonic()
        self._has_begun = False
        self._reserve = reserve
        self.expires_at = math.inf
        self.serialize: Callable[[Any], bytes] = bytes

    @cached_property
    def reader(self) -> MessageReader:
        """Reads messages that come in parts."""
        return MessageReader(self.header(b"grpc-encoding") or IDENTITY, self._reserve)

    def release(self) -> None:
        """Gives up a message that is not complete."""
        if "reader" in self.__dict__:
            self.reader.release()

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return self._first.get(name)

    def metadata(self, name: str) -> str | None:
        """The first value of the caller's metadata of this name."""
        value = self._first.get(name.encode())
        return None if value is None else value.decode(errors="replace")

    def read_deadline(self) -> None:
        """Sets `expires_at`. Raises RpcRefused for a deadline of another form."""
        text = self.header(b"grpc-timeout")
        if text is not None:
            self.expires_at = self._started + timeout_seconds(text)

    async def message(self) -> bytes:
        """The only message of the caller. Raises RpcRefused and CallerGone."""
        body, more = _part(await self._receive())
        found = whole_message(body)
        if found is None:
            found, more = await self._in_parts(body, more)
        while more:
            body, more = _part(await self._receive())
            if body:
                raise _not_one("more than one message")
        return found

    async def _in_parts(self, body: bytes, more: bool) -> tuple[bytes, bool]:
        """A message that comes in parts or compressed, and whether more may come."""
        reader = self.reader
        reader.feed(body)
        while (found := reader.next()) is None and more:
            body, more = _part(await self._receive())
            reader.feed(body)
        if found is None:
            raise _not_one("no complete message")
        if reader.buffered_bytes:
            raise _not_one("more than one message")
        return found, more

    async def _send(self, event: dict[str, Any]) -> None:
        try:
            await self._send_event(event)
        except OSError as error:
            raise CallerGone from error

    async def respond(self, message: bytes) -> None:
        """Sends one message. Raises CallerGone."""
        if not self._has_begun:
            self._has_begun = True
            await self._send(_START)
        await self._send({"type": "http.response.body", "body": framed(message), "more_body": True})

    async def answer(self, message: bytes) -> None:
        """Sends the only message, and OK. Raises CallerGone."""
        send = self._send_event
        try:
            await send(_START)
            await send({"type": "http.response.body", "body": framed(message), "more_body": False})
            await send(_OK)
        except OSError as error:
            raise CallerGone from error

    async def end(self, code: int = 0, details: str = "", trailing: Trailing = ()) -> None:
        """Ends the call with a status. A caller that has gone needs none."""
        headers = status_headers(code, details, trailing)
        with suppress(OSError):
            if not self._has_begun:
                self._has_begun = True
                await self._send_event(_START)
            await self._send_event({"type": "http.response.body", "body": b"", "more_body": False})
            await self._send_event({"type": "http.response.trailers", "headers": headers, "more_trailers": False})

    def require_tls_1_3(self) -> None:
        """Raises RpcRefused for a caller that agreed on an older version. The engine cannot be told to refuse it."""
        if self._tls is not None and self._tls["tls_version"] != ssl.TLSVersion.TLSv1_3:
            rule = "the connection speaks TLS 1.2; expected TLS 1.3"
            raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "old-tls", rule)

    def shown(self, method: str) -> Shown:
        """What the call shows of its caller."""
        values = [value.decode(errors="replace") for name, value in self._headers if name == _AUTHORIZATION]
        uris = peer_uris(self) if self._tls else ()
        return Shown(method, values, uris, self.peer)

    # The context of a servicer.

    def peer(self) -> str:
        return "{}:{}".format(*self._client) if self._client else ""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What grpc.aio's context has of the caller's certificate: its URIs."""
        chain = self._tls["client_cert_chain"] if self._tls else ()
        return {PEER_URI: _uris(chain[0])} if chain else {}

    def invocation_metadata(self) -> Metadata:
        return metadata_of(self._headers)

    def time_remaining(self) -> float | None:
        return None if self.expires_at == math.inf else max(0.0, self.expires_at - time.monotonic())

    async def write(self, response: Any) -> None:
        await self.respond(self.serialize(response))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Trailing = ()) -> NoReturn:
        raise Aborted(code, details, trailing_metadata)


class Requests:
    """The messages of a stream. `pump` reads them ahead, and returns when the caller is gone."""

    def __init__(self, call: AsgiCall, receive: Receive, deserialize: Callable[[bytes], Any]) -> None:
        self._reader, self._receive, self._deserialize = call.reader, receive, deserialize
        self._has_ended = False
        self._came, self._taken = asyncio.Event(), asyncio.Event()

    async def pump(self) -> None:
        while (event := await self._receive())["type"] != "http.disconnect":
            self._reader.feed(event.get("body") or b"")
            self._has_ended = self._has_ended or not event.get("more_body", False)
            self._came.set()
            while self._reader.buffered_bytes > READ_AHEAD_BYTES:
                self._taken.clear()
                await self._taken.wait()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while (message := self._reader.next()) is None:
            # A message may be larger than what is read ahead.
            self._taken.set()
            if self._has_ended:
                if self._reader.buffered_bytes:
                    raise _not_one("an incomplete message at the end")
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        self._taken.set()
        return self._deserialize(message)


@lru_cache(maxsize=MAX_KNOWN_CERTIFICATES)
def _uris(pem: str) -> tuple[bytes, ...]:
    """The engine gives the same text with every call of a connection, and has verified it."""
    # Imported late: it takes 9 MiB, which a gateway without TLS need not have.
    from headgate.certificates.authority import CertificateUnusable, read_certificate

    try:
        return tuple(uri.encode() for uri in read_certificate(pem.encode()).uris)
    except CertificateUnusable:  # of names that this library does not know
        return ()


def _part(event: Mapping[str, Any]) -> tuple[bytes, bool]:
    """A part of the body, and whether more may come. Raises CallerGone."""
    if event["type"] == "http.disconnect":
        raise CallerGone
    return event.get("body") or b"", event.get("more_body", False)


def _not_one(got: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.INTERNAL, "invalid-message", f"expected whole messages, got {got}")
