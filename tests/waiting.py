"""Polling a condition with a limit."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def until(
    condition: Callable[[], Answer], what: str = "the condition", *, seconds: float, pause_seconds: float = 0.02
) -> Answer:
    """The condition's first answer that is true; fails when none came within the limit."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}, {seconds:g} s"
        threading.Event().wait(pause_seconds)
    return answer
