"""The connection to Redis: short named waits, no hidden retries, and every fault as one sentence."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

READ_SECONDS = 0.25
"""A reader has another source: it does not wait longer than this."""
WRITE_SECONDS = 2.0
CONNECT_SECONDS = 0.5
BREAK_SECONDS = 1.0
"""How long Redis is left alone after it failed a caller that has another way."""
ADDRESS_RULE = "expected redis://[user:password@]host:port/db, rediss:// for TLS"

Client = Any
"""redis.Redis, whose stubs mix the synchronous and the asynchronous answers of each call."""


NoPermission = redis.exceptions.NoPermissionError
"""Redis does not let this user do that; `explained` turns it into RedisUnavailable."""


class RedisUnavailable(Exception):
    """Redis cannot be read or written now; the message says why."""


def connect(url: str, timeout_seconds: float, retries: int = 0) -> Client:
    """A client that has not connected yet. Raises ValueError for an address that is none."""
    if urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        raise ValueError(ADDRESS_RULE)
    retry = Retry(NoBackoff(), retries, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=min(timeout_seconds, CONNECT_SECONDS),
        retry=retry,
        protocol=2,
        client_name="headgate",
    )


def shown(url: str) -> str:
    """The address as it may be logged."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Breaker:
    """Open for a while after a failure. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed_at = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._closed_at

    def trip(self) -> bool:
        """Opens it; whether it was closed before."""
        with self._lock:
            was_closed = not self.is_open
            self._closed_at = time.monotonic() + BREAK_SECONDS
            return was_closed


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turns the library's errors into RedisUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise RedisUnavailable(f"Redis at {shown(address)} {_explain(error)}") from error


def _explain(error: redis.RedisError) -> str:
    text = str(error)
    for kind, said in _KINDS.items():
        if isinstance(error, kind):
            return said.format(text)
    for start, said in _STARTS.items():
        if text.startswith(start):
            return said
    return f"answers: {text}"


_KINDS: Mapping[type[Exception], str] = {
    redis.AuthenticationError: "refuses the user or the password: {}",
    redis.exceptions.NoPermissionError: "does not let this user do that: {}",
    redis.exceptions.ReadOnlyError: "is a read-only replica: name the primary",
    redis.exceptions.OutOfMemoryError: "is full: raise its maxmemory",
    redis.BusyLoadingError: "is loading its data",
    redis.TimeoutError: "does not answer in time",
    redis.ConnectionError: "cannot be reached: {}",
}
_STARTS = {
    "NOREPLICAS": "takes no writes while it lacks replicas",
    "MISCONF": "takes no writes since it cannot save them to its disk",
}
