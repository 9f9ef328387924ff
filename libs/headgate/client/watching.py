"""A watch that outlives the process it listens to."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

AGAIN_SECONDS = 60.0
"""How long a watch that has heard something looks for a service that goes on with it."""
PAUSE_SECONDS = 0.5

Response = TypeVar("Response")


def kept(
    watch: Callable[[], Iterator[Response]],
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Response]:
    """What the watch sends; it is opened anew, and so begins anew, when its service goes away.

    Raises grpc.RpcError when nobody answers at first or goes on within AGAIN_SECONDS, and for any other refusal.
    """
    heard, give_up_at = False, 0.0
    while True:
        try:
            for response in watch():
                heard, give_up_at = True, 0.0
                yield response
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or not heard:
                raise
            give_up_at = give_up_at or now() + AGAIN_SECONDS
            if now() >= give_up_at:
                raise
        pause(PAUSE_SECONDS)
