"""The connection to Redis: short named waits, no hidden retries, and one sentence for every error."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from headgate.domain.credentials import without_credentials
from headgate.runtime.redis_address import ADDRESS_RULE, is_address

READ_SECONDS = 0.25
"""How long a reader waits. It has another source, so the wait is short."""
WRITE_SECONDS = 2.0
CONNECT_SECONDS = 0.5
BREAK_SECONDS = 1.0
"""How long the breaker stays open: callers use their other source and do not ask Redis."""

Client = Any
"""redis.Redis. Its type stubs mix the synchronous and the asynchronous result of each call, so this is Any."""


NoPermission = redis.exceptions.NoPermissionError
"""The Redis user lacks a right. `redis_errors` turns it into RedisUnavailable."""


class RedisUnavailable(Exception):
    """Redis cannot be read or written now. The message gives the reason."""


def connect(url: str, timeout_seconds: float, retries: int = 0) -> Client:
    """A client that has not connected yet. Raises ValueError for an invalid address."""
    if urlsplit(url).scheme != "unix" and not is_address(url):
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


class Breaker:
    """A circuit breaker: open for BREAK_SECONDS after a failure. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def trip(self) -> bool:
        """Opens the breaker. Returns whether it was closed before."""
        with self._lock:
            was_closed = not self.is_open
            self._open_until = time.monotonic() + BREAK_SECONDS
            return was_closed


@contextmanager
def redis_errors(address: str) -> Iterator[None]:
    """Turns the library's errors inside the block into RedisUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise RedisUnavailable(f"Redis at {without_credentials(address)} {_explain(error)}") from error


def _explain(error: redis.RedisError) -> str:
    text = str(error)
    for kind, sentence in _BY_KIND.items():
        if isinstance(error, kind):
            return sentence.format(text)
    for start, sentence in _BY_START.items():
        if text.startswith(start):
            return sentence
    return f"answers: {text}"


_BY_KIND: Mapping[type[Exception], str] = {
    redis.AuthenticationError: "refuses the user or the password: {}",
    redis.exceptions.NoPermissionError: "does not let this user do that: {}",
    redis.exceptions.ReadOnlyError: "is a read-only replica: name the primary",
    redis.exceptions.OutOfMemoryError: "is full: raise its maxmemory",
    redis.BusyLoadingError: "is loading its data",
    redis.TimeoutError: "does not answer in time",
    redis.ConnectionError: "cannot be reached: {}",
}
_BY_START = {
    "NOREPLICAS": "takes no writes because it has too few replicas",
    "MISCONF": "takes no writes because it cannot save them to its disk",
}
