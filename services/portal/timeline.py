"""The slider over the log: from the first fact to the last, with how much happened when. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from headgate.lifecycle.stream import Stream

BARS = 60
MAX_STREAMS = 200
"""Streams whose facts the bars count."""
MAX_DIGITS = 15


class BadTime(Exception):
    """The address names a moment that is no time, or has not come yet. The message says which."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """`at_ms` is the moment that the page shows. The steps lead to the facts before and after, 0 for none."""

    first_ms: int
    last_ms: int
    at_ms: int
    previous_ms: int
    next_ms: int
    bars: Sequence[float]
    """How many facts each part of the time has, as a share of the busiest part."""


def timeline(streams: Iterable[Stream], at_ms: int, is_past: bool) -> Timeline | None:
    """The slider of these streams; None when nothing has happened."""
    times = [stream.times_ms for stream in islice(streams, MAX_STREAMS) if stream.sequence]
    if not times:
        return None
    first, last = min(each[0] for each in times), max(each[-1] for each in times)
    # At the present the newest fact is what the page shows, so a step back leads to the one before it.
    shown = min(at_ms, last) if is_past else last
    before = [each[place - 1] for each in times if (place := bisect_left(each, shown))]
    after = [each[place] for each in times if (place := bisect_right(each, shown)) < len(each)]
    previous = max(before, default=0)
    return Timeline(first, max(last, first + 1), at_ms, previous, min(after, default=0), _bars(times, first, last))


def _bars(times: Sequence[Sequence[int]], first: int, last: int) -> list[float]:
    edges = [first + (last + 1 - first) * number // BARS for number in range(BARS + 1)]
    counts = [0] * BARS
    for each in times:
        places = [bisect_left(each, edge) for edge in edges]
        for number in range(BARS):
            counts[number] += places[number + 1] - places[number]
    most = max(counts) or 1
    return [count / most for count in counts]


def moment_of(text: str, now_ms: int) -> int:
    """The moment that an address names: milliseconds since 1970, or a time such as 2026-03-03T14:05, in UTC.

    Raises BadTime.
    """
    if text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS:
        at_ms = int(text)
    else:
        try:
            at = datetime.fromisoformat(text)
            at_ms = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError) as error:
            raise BadTime("expected a time such as 2026-03-03T14:05, in UTC") from error
    if at_ms > now_ms:
        raise BadTime("this time has not come yet: the log has facts of the past alone")
    return max(0, at_ms)
