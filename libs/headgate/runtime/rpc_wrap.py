"""Puts something around a gRPC handler, whatever its kind."""

from collections.abc import Callable
from typing import Any

import grpc

Behaviour = Callable[[Any, Any], Any]
Around = Callable[[Behaviour], Behaviour]


def wrapped(handler: Any, around_unary: Around, around_stream: Around) -> Any:
    """The handler with its behaviour replaced: that of an answer of one message, or of a stream of them."""
    if handler.request_streaming and handler.response_streaming:
        return _rebuilt(grpc.stream_stream_rpc_method_handler, handler, around_stream(handler.stream_stream))
    if handler.request_streaming:
        return _rebuilt(grpc.stream_unary_rpc_method_handler, handler, around_unary(handler.stream_unary))
    if handler.response_streaming:
        return _rebuilt(grpc.unary_stream_rpc_method_handler, handler, around_stream(handler.unary_stream))
    return _rebuilt(grpc.unary_unary_rpc_method_handler, handler, around_unary(handler.unary_unary))


def _rebuilt(make: Callable[..., Any], handler: Any, behaviour: Behaviour) -> Any:
    return make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
