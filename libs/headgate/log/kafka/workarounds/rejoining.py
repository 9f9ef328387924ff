"""Keeps a member of a Kafka group from getting stuck. kafka-python has three faults that leave a member stuck for ever:

- A leader whose metadata changed joins again, but the library does not remember that it has to. When a poll ends before
  the response arrives, the next poll does nothing. The member gets no partitions and sends no heartbeats.
- A response that arrives between two polls is dropped. The member asks again, and so all others must join again.
- A leader may not know the topic: its metadata request was lost, or it restarted before the response arrived. Then it
  assigns no partitions to its group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from kafka import KafkaConsumer
from kafka.future import Future
from kafka.structs import MemberState

EMPTY_SECONDS = 1.0
"""A member that has been without partitions for so long gets a remedy."""

EMPTY_REJOINS = 3
"""How often in a row it joins again. A member rightly has no partitions when there are more members than partitions."""


class Membership(Enum):
    """The relation of a member to its group."""

    OUTSIDE = "outside"
    JOINING = "joining"
    JOINED = "joined"


class Remedy(Enum):
    """What to do to a member before its next poll."""

    NOTHING = "nothing"
    REFRESH_METADATA = "refresh metadata"
    JOIN = "join"


@dataclass(slots=True)
class Joining:
    """How long a member has been without partitions, and how often it has joined again."""

    _empty_since: float | None = None
    _rejoins: int = 0

    def remedy(self, membership: Membership, *, holds: bool, knows_topic: bool, now: float) -> Remedy:
        """What a member needs after a poll. `now` is in seconds on a monotonic clock."""
        if membership is not Membership.JOINED:
            self._empty_since = None
            return Remedy.JOIN if membership is Membership.JOINING else Remedy.NOTHING
        if holds:
            self._empty_since, self._rejoins = None, 0
            return Remedy.NOTHING
        if self._empty_since is None:
            self._empty_since = now
        if now - self._empty_since < EMPTY_SECONDS:
            return Remedy.NOTHING
        self._empty_since = now
        if not knows_topic:
            return Remedy.REFRESH_METADATA
        self._rejoins += 1
        return Remedy.JOIN if self._rejoins <= EMPTY_REJOINS else Remedy.NOTHING


def before_poll(consumer: KafkaConsumer) -> None:
    """Makes the next poll use the response to an earlier join request, whenever it arrived."""
    coordinator = consumer._coordinator
    response = coordinator._join_task
    if response is not None and not isinstance(response, _Unread):
        coordinator._join_task = _Unread(response)


def after_poll(consumer: KafkaConsumer, topic: str, joining: Joining, *, holds: bool, now: float) -> None:
    """Prepares what the next poll of this consumer must do."""
    membership = _MEMBERSHIPS[consumer.group_metadata().state]
    knows_topic = topic in consumer._cluster.topics(exclude_internal_topics=False)
    remedy = joining.remedy(membership, holds=holds, knows_topic=knows_topic, now=now)
    match remedy:
        case Remedy.NOTHING:
            pass
        case Remedy.REFRESH_METADATA:
            consumer._cluster.request_update()
        case Remedy.JOIN:
            consumer._coordinator.request_rejoin()
        case _:
            assert_never(remedy)


_MEMBERSHIPS = {
    MemberState.UNJOINED: Membership.OUTSIDE,
    MemberState.REBALANCING: Membership.JOINING,
    MemberState.STABLE: Membership.JOINED,
}


class _Unread(Future):  # type: ignore[misc] # the library has no types
    """A response that does not count as done before it was waited for. The library drops responses that are done."""

    def __init__(self, response: Future) -> None:
        super().__init__()
        self._response = response

    def add_callback(self, callback: Callable[[Any], None]) -> Future:
        self._response.add_callback(callback)
        return self

    def add_errback(self, callback: Callable[[Any], None]) -> Future:
        self._response.add_errback(callback)
        return self
