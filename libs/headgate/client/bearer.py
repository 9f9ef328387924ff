"""Adds the caller's token to each call, as the header authorization. The token comes from a file alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from headgate.client.actor import changed_details

HEADER = "authorization"
MAX_BYTES = 16_384


class TokenUnusable(Exception):
    """The file has no token. The message says which file, and what is wrong."""


class BearerToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the header to every call of a channel."""

    def __init__(self, token: str) -> None:
        self._header = (HEADER, f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(changed_details(details, self._header), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(changed_details(details, self._header), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(changed_details(details, self._header), requests)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(changed_details(details, self._header), requests)


def read_token(file: Path) -> str:
    """The token in a file. Raises TokenUnusable."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1).strip()
    except OSError as error:
        raise TokenUnusable(f"{file}: {error.strerror or error}") from error
    if not text or len(text) > MAX_BYTES or not all(0x20 < byte < 0x7F for byte in text):
        raise TokenUnusable(f"{file}: expected one token, without spaces, of at most {MAX_BYTES} characters")
    return text.decode("ascii")
