"""Token buckets in Redis, which all replicas share; this process's own while Redis is away."""

import hashlib
import logging

from headgate.runtime.redis_client import Breaker, RedisUnavailable, connect, explained
from headgate.runtime.rpc.rate_limit import LocalBuckets, Rate

TAKE_SECONDS = 0.05
"""Every call waits for this answer: one that takes longer comes from the process itself."""

TAKE = """
-- A token bucket by its theoretical arrival time (GCRA), on the server's clock, so that all replicas share it.
-- KEYS: bucket. ARGV: milliseconds a token takes, burst. Answers the milliseconds to wait; 0: taken.
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + each
local wait = arrival - burst * each - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil(arrival - now))
return 0
"""

logger = logging.getLogger(__name__)


class RedisBuckets:
    """A bucket lasts as long as it is not full. Thread-safe. Raises ValueError for an address that is none."""

    def __init__(self, url: str, rate: Rate) -> None:
        self._url = url
        self._rate = rate
        self._client = connect(url, TAKE_SECONDS)
        self._take = self._client.register_script(TAKE)
        self._local = LocalBuckets(rate)
        self._breaker = Breaker()

    def take(self, bucket: str) -> float:
        """Takes a token; answers the seconds until there is one, 0 when it was taken."""
        if self._breaker.is_open:
            return self._local.take(bucket)
        try:
            with explained(self._url):
                # Hashed, since a caller chooses its name.
                key = f"headgate:rate:{hashlib.sha256(bucket.encode()).hexdigest()[:32]}"
                each_ms = 1000 / self._rate.per_second
                return int(self._take([key], [repr(each_ms), self._rate.burst])) / 1000
        except RedisUnavailable as error:
            if self._breaker.trip():
                logger.warning("limits are this process's own", extra={"why": str(error)})
            return self._local.take(bucket)

    def close(self) -> None:
        self._client.close()
