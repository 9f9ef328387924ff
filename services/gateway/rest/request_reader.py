"""Makes HTTP/1.1 requests of the bytes of a connection, within limits. httptools does the parsing.

Strict where two servers could read the same bytes differently: bare line feeds, two lengths, a length beside chunks,
unknown transfer codings.
"""

from collections import deque
from collections.abc import Callable

import httptools

from services.gateway.rest.http_messages import HttpRefused, HttpRequest
from services.gateway.rest.known_heads import KnownHeads
from services.gateway.rest.limits import MAX_BODY_BYTES, MAX_CHUNK_OVERHEAD, MAX_HEADER_BYTES, MAX_HEADERS
from services.gateway.rest.peer import NO_PEER

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
TLS_HANDSHAKE = b"\x16\x03"
CONTINUE = b"100-continue"
HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"http2-settings"})

NOT_HTTP2 = "this port speaks HTTP/1.1 (REST), and HTTP/2 came; gRPC has a port of its own"
NOT_TLS = "this port speaks HTTP without TLS, and a TLS handshake came; use http://, or set HEADGATE_TLS_CERTIFICATE"


class RequestReader:
    """Feed it what the connection receives. `ready` holds the complete requests, in their order.

    `reserve` is called with the change of the bytes that wait here for the rest of their body. It answers whether they
    may stay.
    """

    def __init__(self, reserve: Callable[[int], bool], heads: KnownHeads | None = None) -> None:
        self.ready: deque[HttpRequest] = deque()
        self.peer = NO_PEER
        """Whose requests these are."""
        self.is_inside_request = False
        self.is_inside_body = False
        self.wants_continue = False
        self._reserve, self._heads = reserve, heads or KnownHeads()
        self._reserved = 0
        self._parser = httptools.HttpRequestParser(self)
        self._first_bytes = True
        self._refused: HttpRefused | None = None
        self._start_request()

    def _start_request(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._framing = 0
        self.is_inside_request = self.is_inside_body = self.wants_continue = False

    def feed(self, data: bytes) -> None:
        """Reads on. Raises HttpRefused, also after complete requests: those are in `ready`."""
        whole = data if not self.is_inside_request else b""
        if whole and (request := self._heads.request(data, self.peer)) is not None:
            self.ready.append(request)
            return
        self._read(data)
        if whole and len(self.ready) == 1 and not self.is_inside_request:
            self._heads.learn(whole, self.ready[0])

    def _read(self, data: bytes) -> None:
        if self._first_bytes:
            self._refuse_other_protocols(data)
        self.is_inside_request = True
        self._framing += len(data)
        while data:
            data = self._parse(data)
        if self._framing > MAX_HEADER_BYTES:
            raise _too_much_framing() if self.is_inside_body else _header_too_large()

    def release(self) -> None:
        """Gives up the request that is not complete."""
        if self._reserved:
            self._reserve(-self._reserved)
            self._reserved = 0

    # httptools calls these.

    def on_message_begin(self) -> None:
        self.is_inside_request = True

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_inside_body:  # a trailer, which nothing here reads
            return
        name = name.lower()
        if name in self._headers:
            if name == b"host":
                self._refuse(400, "the request has more than one Host header")
            value = self._headers[name] + b", " + value
        self._headers[name] = value
        self._header_bytes += len(name) + len(value)
        if len(self._headers) > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES:
            self._refused = _header_too_large()
            raise self._refused

    def on_headers_complete(self) -> None:
        self.is_inside_body = True
        version, headers = self._parser.get_http_version(), self._headers
        if version not in ("1.1", "1.0"):
            self._refuse(505, f"expected HTTP/1.1, got HTTP/{version}")
        if version == "1.1" and b"host" not in headers:
            self._refuse(400, "the request has no Host header")
        if version == "1.0" and b"transfer-encoding" in headers:
            self._refuse(400, "HTTP/1.0 knows no Transfer-Encoding; send Content-Length")
        length = headers.get(b"content-length")
        if length is not None and int(length) > MAX_BODY_BYTES:
            self._refuse(413, _too_large(f"{int(length)} bytes"))
        expected = headers.get(b"expect")
        if expected is not None:
            if expected.lower() != CONTINUE:
                self._refuse(417, "Expect: only 100-continue is known")
            self.wants_continue = version == "1.1"

    def on_body(self, part: bytes) -> None:
        self.wants_continue = False
        size = len(part)
        self._framing -= size * (1 + MAX_CHUNK_OVERHEAD)
        self._body_bytes += size
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, _too_large("more"))
        self._reserved += size
        if not self._reserve(size):
            rule = "this gateway receives too many large bodies at once; try again in a second"
            self._refuse(503, rule, "too-many-bytes")
        if self._body:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body.extend(part)
        else:
            self._body = part

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                self._refuse(405, "CONNECT is for proxies, and this is none")
            return
        self.ready.append(
            HttpRequest(
                parser.get_method(),
                self._target,
                self._headers,
                bytes(self._body),
                parser.should_keep_alive(),
                parser.get_http_version() == "1.0",
                self.peer,
            )
        )
        self.release()
        self._start_request()

    def _refuse(self, status: int, rule: str, code: str = "") -> None:
        self._refused = HttpRefused(status, rule, code)
        raise self._refused

    def _refuse_other_protocols(self, data: bytes) -> None:
        self._first_bytes = False
        if data.startswith(TLS_HANDSHAKE):
            raise HttpRefused(400, NOT_TLS)
        if data.startswith(HTTP2_PREFACE):
            raise HttpRefused(505, NOT_HTTP2)

    def _parse(self, data: bytes) -> bytes:
        """Reads on, and returns what is left to read: a request that offers another protocol, without its offer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head, rest = self._head_without_upgrade(), data[upgrade.args[0] :]
            self._parser = httptools.HttpRequestParser(self)
            self._start_request()
            return head + rest
        except httptools.HttpParserError as error:
            raise self._refused or HttpRefused(400, f"this is no HTTP/1.1 request: {error}") from None
        return b""

    def _head_without_upgrade(self) -> bytes:
        """The head of this request without its offer. The parser would leave its body to the other protocol."""
        lines = [b"%b: %b\r\n" % pair for pair in self._headers.items() if pair[0] not in HOP_BY_HOP]
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self._parser.get_method(), self._target, b"".join(lines))


def _header_too_large() -> HttpRefused:
    rule = f"expected at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES // 1024} KiB together"
    return HttpRefused(431, rule)


def _too_much_framing() -> HttpRefused:
    return HttpRefused(400, "the chunks of the body have more framing than content; send larger chunks")


def _too_large(got: str) -> str:
    return f"expected a body of at most {MAX_BODY_BYTES} bytes, got {got}; send fewer rows at once"
