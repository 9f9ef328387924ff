"""Refuses calls until the service is ready, and ends streams while it drains."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.wrap import Behaviour, wrapped

ALWAYS = "/grpc."
"""Health and reflection always answer."""


class Admission(grpc.ServerInterceptor):
    """Refuses calls until `open` is set. Once `draining` is set, streams end soon and other calls end as usual."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.draining = threading.Event()
        self._last_at = 0.0

    def last_call_at(self) -> float:
        """When the last call started, on the monotonic clock; 0 when none has."""
        return self._last_at

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(ALWAYS):
            return handler
        self._last_at = time.monotonic()
        if not self.open.is_set():
            return wrapped(handler, _not_ready, _not_ready)
        if handler.response_streaming:
            return wrapped(handler, lambda unary: unary, self._ended_by_drain)
        return handler

    def _ended_by_drain(self, behaviour: Behaviour) -> Behaviour:
        def call(request: Any, context: Any) -> Iterator[Any]:
            yield from behaviour(request, _Draining(context, self.draining))
            if self.draining.is_set():
                raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "draining", "this process is stopping: try another one")

        return call


def _not_ready(_: Behaviour) -> Behaviour:
    def call(request: Any, context: Any) -> Any:
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "not-ready", "this process is still reading the log: try again")

    return call


class _Draining:
    """A call's context that reports itself as inactive once the server drains."""

    def __init__(self, context: Any, draining: threading.Event) -> None:
        self._context = context
        self._draining = draining

    def is_active(self) -> bool:
        return bool(self._context.is_active()) and not self._draining.is_set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
