"""A moment in the past of the log, and how many facts of a stream it includes. Pure.

The time of a fact is the latest of its own and of those before it in its stream, so a clock that was set back moves no
fact before an earlier one.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from headgate.lifecycle.stream import Stream


@dataclass(frozen=True, slots=True)
class AtTime:
    """All facts that had happened at this time, in ms since the epoch."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class AtSequence:
    """The first facts of a stream, up to this sequence. It names a moment of one stream alone."""

    sequence: int


@dataclass(frozen=True, slots=True)
class AtPositions:
    """By partition, the offset of the last fact; no fact of a partition that is absent. A ReadMark has the same."""

    offsets: Mapping[int, int] = field(default_factory=dict)


Moment = AtTime | AtSequence | AtPositions


def sequence_at(stream: Stream, moment: Moment) -> int:
    """The sequence of the stream's last fact at the moment; 0 before its first."""
    match moment:
        case AtTime():
            return bisect_right(stream.times_ms, moment.time_ms)
        case AtSequence():
            return min(max(moment.sequence, 0), stream.sequence)
        case AtPositions():
            return bisect_right(stream.offsets, moment.offsets.get(stream.partition, -1))
        case _:
            assert_never(moment)
