"""One metric over the versions of a model, as the points of an SVG. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 960, 200
"""Of the drawing, in its own units. The page stretches it."""
MAX_MARKS = 60
"""Versions that have a mark of their own with its interval. Of more, the line alone is drawn."""
LARGE = 1e15
"""Values beyond are drawn at the edge: one version with 1e308 must not take the page of its model away."""
SMALL = 1e-12
SAME_SHARE = 1e-9
"""Values that differ by a smaller share are drawn as the same."""
TICKS = 4
LABELS = 6
"""Versions that are named below."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of one version."""

    version: int
    value: float
    interval: tuple[float, float] | None
    kind: str
    """The meaning of the colour of the version's label."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in the drawing, with the ends of its interval."""

    point: Point
    at_x: float
    at_y: float
    low_y: float | None
    high_y: float | None


@dataclass(frozen=True, slots=True)
class MetricChart:
    """`lines` are polylines; `bounds` are the gate's, and `live` what serves, each with its words."""

    lines: str
    marks: Sequence[Mark]
    ticks: Sequence[tuple[float, str]]
    labels: Sequence[tuple[float, int]]
    bounds: Sequence[tuple[float, str]]
    live: Sequence[tuple[float, float, str]]
    first: Point
    last: Point
    count: int


def metric_chart(points: Sequence[Point], bounds: Mapping[str, float], live: Mapping[str, int]) -> MetricChart:
    """The chart of at least two points, in the order of their versions.

    `bounds` are levels by what they say, and `live` versions by their environment.
    """
    shown = [each for each in points[-MAX_MARKS:] if len(points) <= MAX_MARKS]
    ends = [end for each in shown if each.interval for end in each.interval]
    low, step = _scale([*(each.value for each in points), *ends, *bounds.values()])
    first, last = points[0], points[-1]

    def x(version: int) -> float:
        return round(WIDTH * (version - first.version) / max(last.version - first.version, 1), 1)

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (_bounded(value) - low) / (TICKS * step)), 1)

    def mark(each: Point) -> Mark:
        ends = (y(each.interval[0]), y(each.interval[1])) if each.interval else (None, None)
        return Mark(each, x(each.version), y(each.value), *ends)

    serving: dict[int, list[str]] = {}
    for environment, version in sorted(live.items()):
        serving.setdefault(version, []).append(environment)
    return MetricChart(
        lines=" ".join(f"{x(each.version)},{y(each.value)}" for each in points),
        marks=[mark(each) for each in shown],
        ticks=[(y(low + step * tick), _text(low + step * tick, step)) for tick in range(TICKS + 1)],
        labels=[(x(each.version), each.version) for each in _some(points)],
        bounds=[(y(value), words) for words, value in bounds.items()],
        live=[
            (x(each.version), y(each.value), ", ".join(serving[each.version]))
            for each in points
            if each.version in serving
        ],
        first=first,
        last=last,
        count=len(points),
    )


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """The lowest tick and the distance of two, both round, so that TICKS of them hold all values."""
    least, most = _bounded(min(values)), _bounded(max(values))
    size = max(abs(least), abs(most))
    span = most - least
    if span <= size * SAME_SHARE or size < SMALL:
        span = size * 0.1 if size >= SMALL else 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = power * factor
        low = math.floor(least / step) * step
        if low + TICKS * step >= most:
            break
    return low, step


def _bounded(value: float) -> float:
    return min(max(value, -LARGE), LARGE)


def _text(value: float, step: float) -> str:
    digits = max(0, min(6, 1 - math.floor(math.log10(step))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _some(points: Sequence[Point]) -> list[Point]:
    """The first, the last, and some at the same distance between."""
    count = min(LABELS, len(points))
    return [points[round(place * (len(points) - 1) / (count - 1))] for place in range(count)]
