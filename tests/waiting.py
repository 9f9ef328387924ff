"""Waiting for what must come, with one limit: it fits a machine that is busy with other things."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 60.0
"""What comes at all has come by then, also on a busy machine; only a test that fails waits so long.

It is half of what a test may take (TEST_TIMEOUT in the Makefile), so that the test says itself what did not come.
"""

Answer = TypeVar("Answer")


def until(
    condition: Callable[[], Answer],
    what: str = "the condition",
    *,
    seconds: float = PATIENCE_SECONDS,
    pause_seconds: float = 0.02,
) -> Answer:
    """The condition's first answer that is true; fails when none came within the limit."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}, {seconds:g} s"
        threading.Event().wait(pause_seconds)
    return answer
