"""The wall clock. Code outside this file does not read it."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def utc_now() -> datetime:
    """The same as a date."""
    return datetime.now(UTC)
