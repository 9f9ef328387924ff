"""The log's time: the one clock that all services share. A service's own wall clock decides nothing that others see.

A service compares the time that the log gives to its record with its own monotonic clock. From then on it counts with
the latter.
"""

import threading
import time
from collections.abc import Callable

from headgate.log.port import LogUnavailable

MS_PER_SECOND = 1000.0
ROUNDING_MS = 1.0
"""The log cuts its times off to whole milliseconds."""


class LogTimeUnknown(LogUnavailable):
    """The log's time is not known yet, because the log has not taken a record of this process."""


class LogClock:
    """The log's time. It never runs backwards, and while the log's own clock runs evenly, it is never ahead of it.

    Thread-safe. `monotonic` is in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._lock = threading.Lock()
        self._offset_ms: float | None = None
        self._last_ms = 0
        self._reason = "no record was written yet"

    def observe(self, timestamp_ms: int, sent_at: float, acknowledged_at: float) -> float:
        """Notes that a record got this time of the log between two moments of the monotonic clock.

        The offset between the clocks lies between two bounds then, and an offset outside of them moves to the nearer
        one. Returns how far it moved, in seconds; 0 for the first record.
        """
        earliest = timestamp_ms - acknowledged_at * MS_PER_SECOND
        latest = timestamp_ms + ROUNDING_MS - sent_at * MS_PER_SECOND
        with self._lock:
            known = earliest if self._offset_ms is None else self._offset_ms
            self._offset_ms = min(max(known, earliest), latest)
            return (self._offset_ms - known) / MS_PER_SECOND

    def failed(self, reason: str) -> None:
        """Notes why the log's time could not be asked for. `now_ms` names the reason until the time is known."""
        with self._lock:
            self._reason = reason

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC. After the log's clock was set back it stands still. Raises LogTimeUnknown."""
        with self._lock:
            if self._offset_ms is None:
                raise LogTimeUnknown(f"the log's time is not known yet: {self._reason}")
            self._last_ms = max(self._last_ms, int(self._offset_ms + self.monotonic() * MS_PER_SECOND))
            return self._last_ms

    def is_known(self) -> bool:
        """Whether `now_ms` answers."""
        with self._lock:
            return self._offset_ms is not None

    def age_seconds(self, timestamp_ms: int) -> float:
        """How long ago the log's clock showed `timestamp_ms`; 0 for a later time, and while the log's time is unknown.

        Unlike `now_ms`, this follows a clock of the log that was set back.
        """
        with self._lock:
            if self._offset_ms is None:
                return 0.0
            age_ms = self._offset_ms + self.monotonic() * MS_PER_SECOND - timestamp_ms
        return max(0.0, age_ms / MS_PER_SECOND)
