"""Polling a condition with a limit, and the small values the registry's tests share."""

import threading
import time
from collections.abc import Callable

REPOSITORY = "https://git.example/fraud"
WAIT_SECONDS = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns when the condition holds; fails after WAIT_SECONDS."""
    pause = threading.Event()
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        pause.wait(0.02)


def commit(number: int) -> str:
    return f"{number:040x}"
