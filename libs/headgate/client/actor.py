"""Adds the caller's name to each call, as the header x-actor. The registry records it in the log."""

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
    """The details of one call, for an interceptor to change: grpc has no class of its own that can be copied."""


class ActorHeader(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the header to every call of a channel."""

    def __init__(self, actor: str) -> None:
        self._header = (HEADER, as_header(actor))

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(changed_details(details, self._header), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(changed_details(details, self._header), request)


def changed_details(details: Any, header: tuple[str, str]) -> grpc.ClientCallDetails:
    """The details of a call with one header more."""
    return _Details(
        details.method,
        details.timeout,
        [*(details.metadata or ()), header],
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


def as_header(actor: str) -> str:
    """The name as a header value: without spaces around it, which make no other person, and cut to MAX_CHARACTERS.

    `?` stands for each character that a header cannot carry.
    """
    return "".join(char if " " < char < "\x7f" else "?" for char in actor.strip()[:MAX_CHARACTERS])


def logged_in() -> str:
    """The name of the logged-in user. A user without a name, as in many containers, is named by number: `uid-1000`."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return f"uid-{os.getuid()}"
