"""Wraps a gRPC handler of any kind in code that runs around each call."""

from collections.abc import Callable
from typing import Any

import grpc

Behaviour = Callable[[Any, Any], Any]
Around = Callable[[Behaviour], Behaviour]


def wrapped(handler: Any, around_unary: Around, around_stream: Around) -> Any:
    """The handler with its behaviour wrapped by one of the two functions: for a single response, or for a stream."""
    if handler.request_streaming and handler.response_streaming:
        return _rebuilt(grpc.stream_stream_rpc_method_handler, handler, around_stream(handler.stream_stream))
    if handler.request_streaming:
        return _rebuilt(grpc.stream_unary_rpc_method_handler, handler, around_unary(handler.stream_unary))
    if handler.response_streaming:
        return _rebuilt(grpc.unary_stream_rpc_method_handler, handler, around_stream(handler.unary_stream))
    return _rebuilt(grpc.unary_unary_rpc_method_handler, handler, around_unary(handler.unary_unary))


class WrapCache:
    """Wraps each handler once. gRPC asks for a method's handler at every call, and mostly gets the same one."""

    def __init__(self) -> None:
        self._by_method: dict[str, tuple[Any, Any]] = {}

    def wrapped(self, handler: Any, method: str, around_unary: Around, around_stream: Around) -> Any:
        """The same as the function `wrapped`, but wraps again only when the method's handler has changed."""
        original, result = self._by_method.get(method, (None, None))
        if original is not handler:
            result = wrapped(handler, around_unary, around_stream)
            self._by_method[method] = handler, result
        return result


def _rebuilt(make: Callable[..., Any], handler: Any, behaviour: Behaviour) -> Any:
    return make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
