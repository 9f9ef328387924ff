"""The registry's view: written by a thread that follows the fold, read while it is as new as the fold."""

import logging
from collections.abc import Callable, Mapping

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import EventLog
from headgate.runtime.redis_client import Breaker, RedisUnavailable
from headgate.view.query import Query
from headgate.view.redis.errors import ViewDamaged
from headgate.view.redis.reader import Reading, RedisReader
from headgate.view.redis.writer import ViewWriter

KEEP_UP_SECONDS = 0.1
"""How long a list waits for the view to reflect what the fold knows."""

logger = logging.getLogger(__name__)


class RedisView:
    """Raises ValueError for an address that is none; nothing else about Redis ever reaches a caller."""

    def __init__(
        self, url: str, log: EventLog, fold: LifecycleFold, on_rebuilt: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._reader = RedisReader(url)
        self.writer = ViewWriter(url, log, fold, on_rebuilt)
        self._breaker = Breaker()

    def start(self) -> None:
        """Begins to keep the view; the fold has replayed its log."""
        self.writer.start()

    def close(self, grace_seconds: float) -> None:
        """Writes what the view lacks, if Redis takes it within the grace."""
        self.writer.close(grace_seconds)
        self._reader.close()

    def find(self, query: Query, at_least: Mapping[int, int]) -> Reading | None:
        """The page, of a state that holds these positions; None when Redis cannot answer so in time."""
        if self._breaker.is_open:
            return None
        if not self.writer.wait_written(at_least, KEEP_UP_SECONDS):
            self._breaker.trip()  # so that the next ones do not wait in vain as well
            return None
        try:
            reading = self._reader.find(query)
        except RedisUnavailable as error:
            if self._breaker.trip():
                logger.warning("view not read: lists are answered from the fold", extra={"why": str(error)})
            if isinstance(error, ViewDamaged):
                self.writer.distrust()
            return None
        if all(reading.positions.get(partition, -1) >= offset for partition, offset in at_least.items()):
            return reading
        return None
