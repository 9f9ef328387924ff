"""A decider in this process, on the log of a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import EventLog
from headgate.runtime.observability.metrics import Metrics
from services.registry.decider import Decider
from tests.waiting import PATIENCE_SECONDS


@contextmanager
def decider_on(log: EventLog) -> Iterator[tuple[LifecycleFold, Decider]]:
    """A new fold of the log, and a decider. Closes the fold and the log at the end."""
    log.create_topics(topics.TOPICS)
    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    yield fold, Decider(log, fold, lambda: 1, Metrics("registry"))
    fold.close()
    log.close()
