"""Makes each gRPC call a unit of work: one log line at its end, and one span below the caller's span.

Health and reflection are left out.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from headgate.runtime.observability import trace_context
from headgate.runtime.observability.work_log import ERROR, Unit, trace_of, unit_of_work
from headgate.runtime.rpc.peer import peer_field
from headgate.runtime.rpc.wrap import Behaviour, WrapCache

NOT_LOGGED = "/grpc."
REFUSED = "refused"
CANCELLED = "cancelled"
SERVICE_FAULTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
"""Statuses that report a fault of the service. Every other status is a refusal that the caller can act on."""


class RpcWork(grpc.ServerInterceptor):
    """Wraps the ErrorInterceptor, so that it sees the status that the caller gets.

    With `peers` the line also names the caller by its certificate. To ask gRPC for it takes some 30 us.
    """

    def __init__(self, peers: bool = False) -> None:
        self._wrapped = WrapCache()
        self._name_of = peer_field if peers else _unnamed

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(NOT_LOGGED):
            return handler
        name_of = self._name_of
        return self._wrapped.wrapped(
            handler, method, lambda inner: _unary(inner, method, name_of), lambda inner: _stream(inner, method, name_of)
        )


def _unary(behaviour: Behaviour, method: str, name_of: Callable[[Any], str]) -> Behaviour:
    name = _short(method)

    def call(request: Any, context: Any) -> Any:
        with unit_of_work("rpc", name, _trace_parent(context), peer=name_of(context)) as unit:
            try:
                return behaviour(request, context)
            finally:
                _conclude(unit, context.code())

    return call


def _stream(behaviour: Behaviour, method: str, name_of: Callable[[Any], str]) -> Behaviour:
    """Makes a stream one unit of work, but never the current one: several threads may ask for its messages."""

    def call(request: Any, context: Any) -> Iterator[Any]:
        unit = Unit("rpc", _short(method), trace_of(_trace_parent(context)), peer=name_of(context))
        failure: BaseException | None = None
        try:
            yield from behaviour(request, context)
        except GeneratorExit:
            unit.outcome = CANCELLED
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            _conclude(unit, context.code() if context.is_active() else grpc.StatusCode.CANCELLED)
            unit.end(failure)

    return call


def _conclude(unit: Unit, code: grpc.StatusCode | None) -> None:
    if code is grpc.StatusCode.CANCELLED:
        unit.outcome = CANCELLED
    elif code is not None and code is not grpc.StatusCode.OK:
        unit.outcome, unit.code = ERROR if code in SERVICE_FAULTS else REFUSED, code.name


def _trace_parent(context: Any) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == trace_context.HEADER and isinstance(value, str):
            return value
    return ""


def _unnamed(_context: Any) -> str:
    """Of a server that asks nobody for a certificate."""
    return ""


def _short(method: str) -> str:
    """`Service/Method` from /package.Service/Method."""
    service, _, name = method.removeprefix("/").rpartition("/")
    return f"{service.rpartition('.')[2]}/{name}"
