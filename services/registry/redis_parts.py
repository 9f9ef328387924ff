"""The registry's parts that use Redis: the view, and the token buckets of the rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import EventLog
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.runtime.rpc.rate_limit import Buckets, LocalBuckets, Rate, RateLimit
from services.registry.settings import Settings

if TYPE_CHECKING:
    from headgate.runtime.rpc.redis_buckets import RedisBuckets
    from headgate.view.redis.view import RedisView


_GAUGES = ("headgate_view_up", "headgate_view_lag_records", "headgate_view_lag_seconds")


class RedisParts:
    """The parts that the settings ask for. The registry works without Redis, so nothing here waits for it."""

    def __init__(self, settings: Settings, log: EventLog, fold: LifecycleFold, metrics: Metrics) -> None:
        self._reads = metrics.counter("headgate_view_reads_total")
        self.view: RedisView | None = None
        self.interceptors: list[grpc.ServerInterceptor] = []
        self._shared: RedisBuckets | None = None
        rate = _rate(settings)
        buckets: Buckets | None = LocalBuckets(rate) if rate else None
        if settings.redis:
            # Imported here, because a registry without Redis needs no Redis library.
            from headgate.runtime.rpc.redis_buckets import RedisBuckets
            from headgate.view.redis.view import RedisView

            rebuilds = metrics.counter("headgate_view_rebuilds_total")
            self.view = RedisView(settings.redis, log, fold, lambda reason: rebuilds.labels(reason).inc())
            metrics.read_at_scrape(_GAUGES, self._gauges)
            if rate:
                buckets = self._shared = RedisBuckets(settings.redis, rate)
        if buckets is not None:
            limited = metrics.counter("headgate_rate_limited_total")
            by_actor = not settings.authentication
            self.interceptors.append(RateLimit(buckets, lambda service: limited.labels(service).inc(), by_actor))

    def start(self) -> None:
        """Starts the view. Call it after the replay of the log."""
        if self.view is not None:
            self.view.start()

    def count_read(self, source: str) -> None:
        """Counts a list that was answered by `source`: the view, the fold or the past."""
        self._reads.labels(source).inc()

    def close(self, grace_seconds: float) -> None:
        """Writes what is still missing in the view, as far as the grace allows."""
        if self.view is not None:
            self.view.close(grace_seconds)
        if self._shared is not None:
            self._shared.close()

    def _gauges(self) -> Iterator[Reading]:
        if self.view is not None:
            records, seconds = self.view.writer.lag()
            values = (float(self.view.writer.is_up), float(records), seconds)
            yield from (Reading(name, (), value) for name, value in zip(_GAUGES, values, strict=True))


def _rate(settings: Settings) -> Rate | None:
    if not settings.rate_per_second:
        return None
    in_one_second = max(1, round(settings.rate_per_second))
    return Rate(settings.rate_per_second, in_one_second if settings.rate_burst is None else settings.rate_burst)
