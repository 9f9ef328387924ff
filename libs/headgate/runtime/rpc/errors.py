"""Turns errors into gRPC statuses. A refusal gets google.rpc details. Any other error shows only an incident id."""

import logging
import math
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.wrap import Behaviour, WrapCache

DOMAIN = "headgate.dev"
MAX_RULE_BYTES = 1_200
"""The longest text of a refusal. gRPC sends it twice, with its escapes, in headers that clients limit to 8 KiB."""
GAP = " ... "
PUSHBACK = "grpc-retry-pushback-ms"
"""The trailer by which gRPC's own retries wait as long as RetryInfo says."""

logger = logging.getLogger(__name__)


class ErrorInterceptor(grpc.ServerInterceptor):
    """Wraps every handler. A call that the servicer aborted itself keeps its status."""

    def __init__(self) -> None:
        self._wrapped = WrapCache()

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        return self._wrapped.wrapped(
            handler, method, lambda inner: _unary(inner, method), lambda inner: _stream(inner, method)
        )


def _unary(behaviour: Behaviour, method: str) -> Behaviour:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return behaviour(request, context)
        except Exception as error:  # the last handler of every call: no error text may reach the caller
            _abort(error, context, method)
            raise

    return call


def _stream(behaviour: Behaviour, method: str) -> Behaviour:
    def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from behaviour(request, context)
        except Exception as error:
            _abort(error, context, method)
            raise

    return call


def _abort(error: Exception, context: grpc.ServicerContext, method: str) -> None:
    """Ends the call with a status. Does nothing when the servicer has already ended it."""
    if isinstance(error, RpcRefused):
        context.abort_with_status(grpc_status_of(error))
    if context.code() is None and context.is_active():  # type: ignore[attr-defined]  # public, missing in the stubs
        context.abort(grpc.StatusCode.INTERNAL, incident_of(error, method))


def incident_of(error: BaseException, method: str) -> str:
    """Logs an unexpected error, and returns what its caller may see of it: the incident by which the log has it."""
    incident = uuid.uuid4().hex[:12]
    logger.error("call failed", exc_info=error, extra={"method": method, "incident": incident})
    return f"internal error, incident {incident}"


def status_of(refusal: RpcRefused) -> status_pb2.Status:
    """The refusal as google.rpc.Status, with ErrorInfo, BadRequest for a wrong field, RetryInfo when waiting helps."""
    rule = shortened(refusal.rule)
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=refusal.slug, domain=DOMAIN)]
    if refusal.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=rule)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if refusal.retry_after_seconds > 0:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(refusal.retry_after_seconds * 1e9))
        details.append(retry)
    packed = []
    for detail in details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=refusal.code.value[0], message=rule, details=packed)


def grpc_status_of(refusal: RpcRefused) -> grpc.Status:
    """The status as gRPC sends it, with its details. Where waiting helps, gRPC's own retries wait as long."""
    status: Any = rpc_status.to_status(status_of(refusal))
    if refusal.retry_after_seconds <= 0:
        return cast(grpc.Status, status)
    wait = (PUSHBACK, str(math.ceil(refusal.retry_after_seconds * 1000)))
    return cast(grpc.Status, status._replace(trailing_metadata=(*status.trailing_metadata, wait)))


def shortened(rule: str) -> str:
    """The rule in at most MAX_RULE_BYTES. Its middle is left out, because the caller's text stands there."""
    encoded = rule.encode(errors="replace")
    if len(encoded) <= MAX_RULE_BYTES:
        return rule
    half = (MAX_RULE_BYTES - len(GAP)) // 2
    return encoded[:half].decode(errors="ignore") + GAP + encoded[-half:].decode(errors="ignore")
