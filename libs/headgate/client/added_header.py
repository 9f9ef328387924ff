"""Adds one header to the calls of a channel."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    """The details of one call, for an interceptor to change: grpc has no class of its own that can be copied."""


class AddedHeader(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the header to every call with one request."""

    def __init__(self, name: str, value: str) -> None:
        self._header = (name, value)

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self.changed(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self.changed(details), request)

    def changed(self, details: Any) -> grpc.ClientCallDetails:
        """The details of a call with the header."""
        return _Details(
            details.method,
            details.timeout,
            [*(details.metadata or ()), self._header],
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
