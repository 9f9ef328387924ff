"""The registry's view in Redis. A thread that follows the fold writes it. It is read only while it is up to date."""

import logging
from collections.abc import Callable, Mapping

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import EventLog
from headgate.runtime.redis_client import Breaker, RedisUnavailable
from headgate.view.query import Query
from headgate.view.redis.errors import ViewDamaged
from headgate.view.redis.reader import Reading, RedisReader
from headgate.view.redis.writer import ViewWriter

CATCH_UP_SECONDS = 0.1
"""How long a list waits until the view has caught up with the fold."""

logger = logging.getLogger(__name__)


class RedisView:
    """Raises ValueError for an invalid address. No other error of Redis reaches a caller."""

    def __init__(
        self, url: str, log: EventLog, fold: LifecycleFold, on_rebuilt: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._reader = RedisReader(url)
        self.writer = ViewWriter(url, log, fold, on_rebuilt)
        self._breaker = Breaker()

    def start(self) -> None:
        """Starts to write the view. Call it when the fold has replayed its log."""
        self.writer.start()

    def close(self, grace_seconds: float) -> None:
        """Writes the changes that the view lacks, if Redis takes them within the grace, and stops."""
        self.writer.close(grace_seconds)
        self._reader.close()

    def find(self, query: Query, at_least: Mapping[int, int]) -> Reading | None:
        """The page, from a view that reflects at least these positions; None when Redis has none in time."""
        if self._breaker.is_open:
            return None
        if not self.writer.wait_written(at_least, CATCH_UP_SECONDS):
            self._breaker.trip()  # the next lists would wait without success too
            return None
        try:
            reading = self._reader.find(query)
        except RedisUnavailable as error:
            if self._breaker.trip():
                logger.warning("view not read: lists are answered from the fold", extra={"why": str(error)})
            if isinstance(error, ViewDamaged):
                self.writer.report_damage()
            return None
        if all(reading.positions.get(partition, -1) >= offset for partition, offset in at_least.items()):
            return reading
        return None
