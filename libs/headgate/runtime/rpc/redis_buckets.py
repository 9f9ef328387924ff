"""Token buckets in Redis, shared by all replicas. While Redis does not answer, the process uses buckets of its own."""

import hashlib
import logging

from headgate.runtime.redis_client import Breaker, RedisUnavailable, connect, redis_errors
from headgate.runtime.rpc.rate_limit import LocalBuckets, Rate

TAKE_SECONDS = 0.05
"""How long to wait for Redis. Every call waits for it, so the limit is short; then the process's own buckets decide."""

TAKE = """
-- A token bucket by its theoretical arrival time (GCRA), on the server's clock, so that all replicas share it.
-- KEYS: bucket. ARGV: milliseconds between two tokens, burst. Returns the milliseconds to wait, or 0.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + interval
local wait = arrival - burst * interval - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil(arrival - now))
return 0
"""

logger = logging.getLogger(__name__)


class RedisBuckets:
    """Redis keeps a bucket until it is full again. Thread-safe. Raises ValueError for an invalid address."""

    def __init__(self, url: str, rate: Rate) -> None:
        self._url = url
        self._rate = rate
        self._client = connect(url, TAKE_SECONDS)
        self._take = self._client.register_script(TAKE)
        self._local = LocalBuckets(rate)
        self._breaker = Breaker()

    def take(self, bucket: str) -> float:
        """Takes a token. Returns 0 when it was taken, else the seconds until there is one."""
        if self._breaker.is_open:
            return self._local.take(bucket)
        try:
            with redis_errors(self._url):
                # Hashed, because callers choose their names.
                key = f"headgate:rate:{hashlib.sha256(bucket.encode()).hexdigest()[:32]}"
                interval_ms = 1000 / self._rate.per_second
                return int(self._take([key], [repr(interval_ms), self._rate.burst])) / 1000
        except RedisUnavailable as error:
            if self._breaker.trip():
                logger.warning(
                    "Redis does not answer: this process counts its own rate limits", extra={"why": str(error)}
                )
            return self._local.take(bucket)

    def close(self) -> None:
        self._client.close()
