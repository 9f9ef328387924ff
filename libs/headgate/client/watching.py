"""A watch that goes on when the service it reads from is restarted."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

REOPEN_SECONDS = 60.0
"""How long a watch that has already received something tries to open again."""
PAUSE_SECONDS = 0.5

Response = TypeVar("Response")


def watch_through_restarts(
    watch: Callable[[], Iterator[Response]],
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Response]:
    """Yields what the watch sends. When the service goes away, the watch is opened again and starts from its beginning.

    Raises grpc.RpcError when no service answers the first time, when none answers again within REOPEN_SECONDS, and for
    any other error.
    """
    received, give_up_at = False, 0.0
    while True:
        try:
            for response in watch():
                received, give_up_at = True, 0.0
                yield response
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or not received:
                raise
            give_up_at = give_up_at or now() + REOPEN_SECONDS
            if now() >= give_up_at:
                raise
        pause(PAUSE_SECONDS)
