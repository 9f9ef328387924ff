"""A time limit that several waits share, and a time limit for work that has none of its own."""

import threading
import time
from collections.abc import Callable


class Deadline:
    """A point in time, `seconds` after the object was made."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, share: float = 1.0) -> float:
        """The seconds that are left, or a share of them; never negative."""
        return max(0.0, self._at - time.monotonic()) * share


def run_within(seconds: float, work: Callable[[], object]) -> bool:
    """Runs the work in its own thread and waits at most `seconds` for it. Returns whether it ended in time."""
    thread = threading.Thread(target=work, name="run-within", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
