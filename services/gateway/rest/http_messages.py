"""HTTP requests and answers, and the bytes of an answer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
import orjson

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.errors import shortened
from services.gateway.rest.peer import NO_PEER, Peer

JSON = b"application/json"
OCTETS = b"application/octet-stream"

HTTP_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""The HTTP status of a refusal. Every other code is 500."""
RETRY_STATUSES = frozenset({429, 503})
"""Statuses whose answer says when to try again."""
DEFAULT_RETRY_SECONDS = 1
_PROVE = b"WWW-Authenticate: Bearer\r\n"

_REASONS: Mapping[int, bytes] = {
    200: b"OK",
    204: b"No Content",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    499: b"Client Closed Request",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
_STARTS = {status: b"HTTP/1.1 %d %b\r\nContent-Length: " % (status, reason) for status, reason in _REASONS.items()}


class HttpRequest(NamedTuple):
    """One complete request. The names of its headers are in lower case."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool = True
    is_http10: bool = False
    peer: Peer = NO_PEER

    def header(self, name: str) -> str | None:
        """The value of a header by its lower-case name, or None."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode(errors="replace")


class HttpAnswer(NamedTuple):
    """One answer. `headers` are whole lines beside those of content and connection."""

    status: int
    content: bytes = b""
    content_type: bytes = JSON
    headers: bytes = b""


_REFUSED: Mapping[int, str] = {
    400: "malformed-request",
    405: "wrong-verb",
    408: "request-too-slow",
    413: "request-too-large",
    415: "unknown-encoding",
    417: "unknown-expectation",
    431: "header-too-large",
    503: "too-many-connections",
    505: "wrong-http-version",
}
"""The code of a request that this server does not read, by its status."""


class HttpRefused(Exception):
    """What came is no request that this server reads. The connection ends with this answer."""

    def __init__(self, status: int, rule: str, code: str = "") -> None:
        super().__init__(rule)
        self.status = status
        self.rule = rule
        self.code = code or _REFUSED[status]


def json_answer(value: Any, status: int = 200, headers: bytes = b"") -> HttpAnswer:
    """The value as JSON."""
    return HttpAnswer(status, orjson.dumps(value), JSON, headers)


def error_answer(status: int, rule: str, code: str = "", field: str = "", headers: bytes = b"") -> HttpAnswer:
    """An error: a sentence for people, a code for programs, and the field that is wrong."""
    optional = {"code": code, "field": field}
    error = {"error": shortened(rule)} | {name: value for name, value in optional.items() if value}
    return json_answer(error, status, headers)


def refusal_answer(refusal: RpcRefused) -> HttpAnswer:
    """The refusal, with Retry-After where waiting helps, and with what to send where a proof is missing."""
    status = HTTP_STATUSES.get(refusal.code, 500)
    headers = _PROVE if status == 401 else _retry_after(status, refusal.retry_after_seconds)
    return error_answer(status, refusal.rule, refusal.slug, refusal.field, headers)


def unread_answer(refused: HttpRefused) -> HttpAnswer:
    """The answer to a request that was not read, with Retry-After where waiting helps."""
    return error_answer(refused.status, refused.rule, refused.code, headers=_retry_after(refused.status))


def _retry_after(status: int, seconds: float = 0.0) -> bytes:
    if status not in RETRY_STATUSES:
        return b""
    return b"Retry-After: %d\r\n" % max(DEFAULT_RETRY_SECONDS, math.ceil(seconds))


def head_of(answer: HttpAnswer, date: bytes, close: bool, keep_http10: bool = False) -> bytes:
    """Status line and headers, up to the empty line. `date` is a whole line."""
    connection = b"Connection: close\r\n" if close else b"Connection: keep-alive\r\n" if keep_http10 else b""
    return b"%b%d\r\nContent-Type: %b\r\n%b%b%b\r\n" % (
        _STARTS[answer.status],
        len(answer.content),
        answer.content_type,
        answer.headers,
        date,
        connection,
    )
