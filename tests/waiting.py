"""Waits for conditions, with one limit that also fits a busy machine."""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 60.0
"""How long a test waits for a condition. Only a test that fails waits this long, also on a busy machine.

It is half of the time limit of a test (TEST_TIMEOUT in the Makefile), so that the test itself reports what is missing.
"""

Result = TypeVar("Result")


def stretched(seconds: float) -> float:
    """The limit for what a free machine does within this time: longer by as much as this machine is overloaded."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def until(
    condition: Callable[[], Result],
    what: str = "the condition",
    *,
    seconds: float = PATIENCE_SECONDS,
    pause_seconds: float = 0.02,
) -> Result:
    """The first true result of the condition. Fails when there is none within the limit."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        threading.Event().wait(pause_seconds)
    return result
