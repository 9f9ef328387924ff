"""Log clocks and liveness for tests that need no log."""

from collections.abc import Mapping

from headgate.runtime.clock import now_ms
from headgate.runtime.log_clock import LogClock
from headgate.worker.leases import Claim, LastHeartbeat, Liveness


def log_clock(ahead_ms: int = 0) -> LogClock:
    """A clock that knows the log's time, which is this far ahead of this host's clock."""
    clock = LogClock()
    now = clock.monotonic()
    clock.observe(now_ms() + ahead_ms, now, now)
    return clock


def liveness(now_ms: int, heartbeats_ms: Mapping[Claim, int] | None = None, reading_since_ms: int = 0) -> Liveness:
    """What a worker knows that reads each heartbeat at once; all times are the log's."""
    heartbeats = {claim: LastHeartbeat(at_ms, now_ms - at_ms) for claim, at_ms in (heartbeats_ms or {}).items()}
    return Liveness(heartbeats, now_ms - reading_since_ms)
