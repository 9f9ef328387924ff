"""Says in each call who makes it, so that the log can: the header x-actor."""

import getpass
import os
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc

HEADER = "x-actor"
MAX_CHARACTERS = 128


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    """What grpc asks of the details of a call; it has no class of its own to copy them into."""


class SaysWho(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the header to every call of a channel."""

    def __init__(self, actor: str) -> None:
        self._header = (HEADER, as_header(actor))

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_header(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_header(details), request)

    def _with_header(self, details: Any) -> _Details:
        metadata = [*(details.metadata or ()), self._header]
        return _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


def as_header(actor: str) -> str:
    """The name with a `?` for each character that a header cannot carry, cut to MAX_CHARACTERS."""
    return "".join(char if " " < char < "\x7f" else "?" for char in actor[:MAX_CHARACTERS])


def logged_in() -> str:
    """The user's name; the number of one that has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return f"uid-{os.getuid()}"
