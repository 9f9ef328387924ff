"""Keeps a member of a Kafka group from standing still, where kafka-python would leave it so for ever.

A leader whose metadata changed joins again without noting that it has to: when a poll ends before the answer comes, the
next one sees nothing to do, and the member never takes its share and sends no heartbeats any more. An answer that
comes between two polls is dropped and asked for again, which makes everybody else join again. And a leader that lost a
question about the topic, or restarted before it heard the answer, leaves its group with nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from kafka import KafkaConsumer
from kafka.future import Future
from kafka.structs import MemberState

EMPTY_SECONDS = 1.0
"""A member that has joined and holds nothing for so long asks why."""

EMPTY_REJOINS = 3
"""How often in a row it joins again: a member may hold nothing because there are more members than partitions."""


class Membership(Enum):
    """Where a member stands."""

    OUTSIDE = "outside"
    JOINING = "joining"
    JOINED = "joined"


class Push(Enum):
    """What to do to a member before its next poll."""

    NOTHING = "nothing"
    ASK_FOR_THE_TOPIC = "ask for the topic"
    JOIN = "join"


@dataclass(slots=True)
class Joining:
    """How long one member has been without partitions, and what was done about it."""

    _empty_since: float | None = None
    _rejoins: int = 0

    def push(self, membership: Membership, *, holds: bool, knows_topic: bool, now: float) -> Push:
        """What a member needs after a poll, at `now` seconds of a clock that never runs backwards."""
        if membership is not Membership.JOINED:
            self._empty_since = None
            return Push.JOIN if membership is Membership.JOINING else Push.NOTHING
        if holds:
            self._empty_since, self._rejoins = None, 0
            return Push.NOTHING
        if self._empty_since is None:
            self._empty_since = now
        if now - self._empty_since < EMPTY_SECONDS:
            return Push.NOTHING
        self._empty_since = now
        if not knows_topic:
            return Push.ASK_FOR_THE_TOPIC
        self._rejoins += 1
        return Push.JOIN if self._rejoins <= EMPTY_REJOINS else Push.NOTHING


def before_poll(consumer: KafkaConsumer) -> None:
    """The poll takes the answer to an earlier wish to join, whenever it came."""
    coordinator = consumer._coordinator
    answer = coordinator._join_task
    if answer is not None and not isinstance(answer, _Unread):
        coordinator._join_task = _Unread(answer)


def after_poll(consumer: KafkaConsumer, topic: str, joining: Joining, *, holds: bool, now: float) -> None:
    """Tells the library what the next poll of this consumer has to do."""
    membership = _MEMBERSHIPS[consumer.group_metadata().state]
    knows_topic = topic in consumer._cluster.topics(exclude_internal_topics=False)
    push = joining.push(membership, holds=holds, knows_topic=knows_topic, now=now)
    match push:
        case Push.NOTHING:
            pass
        case Push.ASK_FOR_THE_TOPIC:
            consumer._cluster.request_update()
        case Push.JOIN:
            consumer._coordinator.request_rejoin()
        case _:
            assert_never(push)


_MEMBERSHIPS = {
    MemberState.UNJOINED: Membership.OUTSIDE,
    MemberState.REBALANCING: Membership.JOINING,
    MemberState.STABLE: Membership.JOINED,
}


class _Unread(Future):  # type: ignore[misc] # the library has no types
    """An answer that does not count as done until somebody has waited for it: done ones are dropped by the library."""

    def __init__(self, answer: Future) -> None:
        super().__init__()
        self._answer = answer

    def add_callback(self, heard: Callable[[Any], None]) -> Future:
        self._answer.add_callback(heard)
        return self

    def add_errback(self, heard: Callable[[Any], None]) -> Future:
        self._answer.add_errback(heard)
        return self
