"""Counts and times the calls of a synchronous gRPC server. Health and reflection are not counted."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.wrap import Behaviour, WrapCache

NOT_COUNTED = "/grpc."


class RpcMetrics(grpc.ServerInterceptor):
    """Must be the outermost interceptor, so that it sees the status that the caller gets."""

    def __init__(self, metrics: Metrics) -> None:
        self._wrapped = WrapCache()
        self._requests = metrics.counter("headgate_rpc_requests_total")
        self._duration = metrics.histogram("headgate_rpc_duration_seconds")

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(NOT_COUNTED):
            return handler
        return self._wrapped.wrapped(
            handler, method, lambda inner: self._unary(inner, method), lambda inner: self._stream(inner, method)
        )

    def _unary(self, behaviour: Behaviour, method: str) -> Behaviour:
        duration = self._duration.labels(*split_method(method))

        def call(request: Any, context: Any) -> Any:
            started = time.perf_counter()
            code = grpc.StatusCode.UNKNOWN
            try:
                response = behaviour(request, context)
                code = grpc.StatusCode.OK
            finally:
                duration.observe(time.perf_counter() - started)
                self._count(method, context.code() or code)
            return response

        return call

    def _stream(self, behaviour: Behaviour, method: str) -> Behaviour:
        """Counts the end of a stream and measures no duration: its reader decides how long it lasts."""

        def call(request: Any, context: Any) -> Iterator[Any]:
            code = grpc.StatusCode.UNKNOWN
            try:
                yield from behaviour(request, context)
                code = grpc.StatusCode.OK
            except GeneratorExit:
                code = grpc.StatusCode.CANCELLED
                raise
            finally:
                self._count(method, context.code() or code)

        return call

    def _count(self, method: str, code: grpc.StatusCode) -> None:
        self._requests.labels(*split_method(method), code.name).inc()


def split_method(method: str) -> tuple[str, str]:
    """The service and the method from /package.Service/Method."""
    service, _, name = method.removeprefix("/").rpartition("/")
    return service, name
