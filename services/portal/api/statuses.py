"""Errors over HTTP: google.rpc.Status as JSON, and its HTTP status by the mapping in google/rpc/code.proto. Pure."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from headgate.domain.refusal import INVALID
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.errors import status_of
from services.portal.api.request_message import BadRequest

HTTP_STATUS_OF: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
_NUMBERS = {code.value[0]: code for code in grpc.StatusCode}
_SHOWN = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def http_status(status: status_pb2.Status) -> int:
    """The HTTP status of a google.rpc.Status."""
    return HTTP_STATUS_OF[_NUMBERS.get(status.code, grpc.StatusCode.UNKNOWN)]


def http_headers(status: status_pb2.Status) -> dict[str, str]:
    """The headers that go with an error: how to prove who calls, and when to try again."""
    headers: dict[str, str] = {}
    if status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]:
        headers["www-authenticate"] = "Bearer"
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        headers["retry-after"] = str(max(1, -(-retry.retry_delay.ToMilliseconds() // 1000)))
    return headers


def as_json(status: status_pb2.Status) -> dict[str, Any]:
    """The status by protobuf's JSON mapping. Details of unknown types are left out."""
    shown = status_pb2.Status(code=status.code, message=status.message)
    shown.details.extend(detail for detail in status.details if any(detail.Is(kind.DESCRIPTOR) for kind in _SHOWN))
    found: dict[str, Any] = json_format.MessageToDict(shown)
    return found


def refused(code: grpc.StatusCode, slug: str, rule: str, field: str = "") -> status_pb2.Status:
    """The status of a request that reached no service."""
    return status_of(RpcRefused(code, slug, rule, field))


def refused_request(bad: BadRequest) -> status_pb2.Status:
    """The status of a request that names no message."""
    return refused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, bad.rule, bad.field)
