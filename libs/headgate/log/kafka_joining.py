"""Decides when a member of a Kafka group must be pushed on, where kafka-python would let it stand still for ever.

A leader whose metadata changed joins again without noting that it has to: when a poll ends before the answer comes, the
next one sees nothing to do, and the member never takes its share and sends no heartbeats any more. And a leader
that lost a question about the topic, or restarted before it heard the answer, leaves its group with nothing.
"""

from dataclasses import dataclass
from enum import Enum

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
