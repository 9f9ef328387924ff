"""How many requests one loaded version has answered, and how long they took; for clients of the protocol."""

import threading
from dataclasses import dataclass, field

NANOSECONDS_PER_SECOND = 1e9


@dataclass(slots=True, eq=False)
class Statistics:
    """Totals since the version was loaded. Every method may be called on any thread."""

    answered: int = 0
    answered_seconds: float = 0.0
    failed: int = 0
    failed_seconds: float = 0.0
    last_monotonic: float = 0.0
    """When the last request ended, on the monotonic clock; 0 for none."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, seconds: float, now: float) -> None:
        """Counts an answered request, which ended at `now` on the monotonic clock."""
        with self._lock:
            self.answered += 1
            self.answered_seconds += seconds
            self.last_monotonic = now

    def fail(self, seconds: float, now: float) -> None:
        """Counts a request that the version got and did not answer."""
        with self._lock:
            self.failed += 1
            self.failed_seconds += seconds
            self.last_monotonic = now
