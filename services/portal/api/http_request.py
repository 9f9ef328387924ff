"""What the JSON API takes of an HTTP request: bounded bytes, and the headers that go on to the services."""

import re
from dataclasses import dataclass

import grpc
from google.rpc import status_pb2
from starlette.datastructures import Headers
from starlette.requests import Request

from headgate.domain.refusal import INVALID
from headgate.runtime.observability.trace_context import HEADER as TRACE_PARENT
from headgate.runtime.rpc.headers import ACTOR, AUTHORIZATION
from services.portal.api.statuses import http_status, refused
from services.portal.bodies import BODY_SECONDS, BodyTooLarge, BodyTooSlow, whole_body

MAX_BODY_BYTES = 1 << 20
USUAL_SECONDS = 60.0
"""How long a call waits for its answer when the caller sets no time."""
MAX_SECONDS = 600.0
TIMEOUT = "grpc-timeout"
_PASSED_ON = (AUTHORIZATION, ACTOR, TRACE_PARENT)
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_UNITS = {"H": 3_600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_VISIBLE = re.compile(r"[\x20-\x7e]*")


class Refused(Exception):
    """A request that is answered without a call. `http` is its HTTP status."""

    def __init__(self, status: status_pb2.Status, http: int = 0) -> None:
        super().__init__(status.message)
        self.status = status
        self.http = http or http_status(status)


@dataclass(frozen=True, slots=True)
class Passed:
    """What goes on to the service: metadata, and the time that the caller gives the call."""

    metadata: tuple[tuple[str, str], ...]
    seconds: float | None

    @property
    def trace_parent(self) -> str:
        return next((value for name, value in self.metadata if name == TRACE_PARENT), "")


def passed_on(headers: Headers, asks_callers: bool) -> Passed:
    """The headers for the service. Raises Refused, also when a caller that must prove who it is shows no token."""
    metadata = []
    for name in _PASSED_ON:
        values = headers.getlist(name)
        if len(values) > 1 or not all(map(_VISIBLE.fullmatch, values)):
            raise Refused(_bad(f"the header {name}: expected one value of visible ASCII characters", name))
        metadata += [(name, value) for value in values]
    if asks_callers and not headers.get(AUTHORIZATION):
        rule = "send a token in the header authorization, as `Bearer TOKEN`"
        raise Refused(refused(grpc.StatusCode.UNAUTHENTICATED, "unauthenticated", rule))
    return Passed(tuple(metadata), _seconds(headers.get(TIMEOUT)))


async def body_of(request: Request) -> bytes:
    """The body, in at most MAX_BODY_BYTES and BODY_SECONDS. Raises Refused and ClientDisconnect."""
    try:
        found = await whole_body(request, MAX_BODY_BYTES)
    except BodyTooLarge:
        rule = f"the body may have {MAX_BODY_BYTES} bytes"
        raise Refused(refused(grpc.StatusCode.INVALID_ARGUMENT, "too-large", rule), 413) from None
    except BodyTooSlow:
        raise Refused(_bad(f"the body took more than {BODY_SECONDS:g} s"), 408) from None
    if found and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(_bad("the body is JSON: send the header content-type: application/json", "content-type"), 415)
    return found


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIMEOUT.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= MAX_SECONDS:
        rule = f"the header {TIMEOUT}: expected a number and a unit of H, M, S, m, u or n, at most {MAX_SECONDS:g} s"
        raise Refused(_bad(f"{rule}, such as 5S", TIMEOUT))
    return seconds


def _bad(rule: str, field: str = "") -> status_pb2.Status:
    return refused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, rule, field)
