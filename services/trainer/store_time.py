"""Times of the log and of the artifact store, whose clocks may differ."""

import time

from headgate.artifacts.store import ArtifactStore
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.log_clock import LogClock


def heard_at_ms(fold: LifecycleFold, clock: LogClock) -> int:
    """The time at which the log last answered the fold, in the log's time."""
    return clock.now_ms() - int((time.monotonic() - fold.last_poll_monotonic) * 1000)


def in_store_time(store: ArtifactStore, clock: LogClock, log_time_ms: int) -> int:
    """This moment of the log's time, or one before it, by the store's clock. Raises StoreUnavailable."""
    store_ms = store.time_ms()
    return log_time_ms + store_ms - clock.now_ms()
