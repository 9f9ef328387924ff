"""One limit for several waits, and a limit for work that has none of its own."""

import threading
import time
from collections.abc import Callable


class Deadline:
    """Ends `seconds` after it was made."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, share: float = 1.0) -> float:
        """Seconds until the end, or a share of them; never negative."""
        return max(0.0, self._at - time.monotonic()) * share


def within(seconds: float, work: Callable[[], object]) -> bool:
    """Does the work in a thread of its own and waits so long for it; whether it ended in time."""
    thread = threading.Thread(target=work, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
