"""Adds the caller's token to each call, as the header authorization. The token comes from a file alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from headgate.access.secret import SECRET, digest_of
from headgate.client.added_header import AddedHeader
from headgate.runtime.rpc.headers import AUTHORIZATION

MAX_BYTES = 16_384


class TokenUnusable(Exception):
    """The file has no token. The message says which file, and what is wrong."""


class BearerToken(AddedHeader, grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the header to every call of a channel."""

    def __init__(self, token: str) -> None:
        super().__init__(AUTHORIZATION, f"Bearer {token}")

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(self.changed(details), requests)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(self.changed(details), requests)


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


def digest_in(file: Path) -> str:
    """The digest by which the secret in a file is known. Raises TokenUnusable."""
    secret = read_token(file)
    if not SECRET.fullmatch(secret):
        raise TokenUnusable(f"{file}: expected a secret as `headgate token secret` prints it")
    return digest_of(secret)
