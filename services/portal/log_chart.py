"""The lines of a chart with a logarithmic axis, as the points of an SVG. Pure.

It is drawn on the server, because a browser then needs no script for it, and a new version of the page moves only what
differs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 200
"""Of the drawing, in its own units. The page stretches it."""
LEAST, MOST = 1e-3, 1e6
"""E-values beyond are drawn at the edge."""

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, the points of a polyline, where its threshold is, and where it ends."""

    name: str
    points: str
    threshold_y: float
    threshold: float
    end_x: float
    end_y: float
    value: float


@dataclass(frozen=True, slots=True)
class LogChart:
    """All lines, and the powers of ten with their places."""

    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    begin_ms: int
    end_ms: int


def log_chart(series: Mapping[str, Points], thresholds: Mapping[str, float], begin_ms: int) -> LogChart:
    """The chart of series of at least one point each. Each has a threshold."""
    values = [_bounded(value) for points in series.values() for _, value in points]
    bounds = [1.0, *values, *map(_bounded, thresholds.values())]
    low, high = math.floor(math.log10(min(bounds))), math.ceil(math.log10(max(bounds)) + 0.15)
    end_ms = max(points[-1][0] for points in series.values())
    span = max(end_ms - begin_ms, 1)

    def x(at_ms: int) -> float:
        return round(WIDTH * (at_ms - begin_ms) / span, 1)

    def y(value: float) -> float:
        return round(HEIGHT * (high - math.log10(_bounded(value))) / (high - low), 1)

    lines = [
        Line(
            name,
            " ".join(f"{x(at_ms)},{y(value)}" for at_ms, value in [(begin_ms, 1.0), *points]),
            y(thresholds[name]),
            thresholds[name],
            x(points[-1][0]),
            y(points[-1][1]),
            points[-1][1],
        )
        for name, points in series.items()
    ]
    ticks = [(y(10.0**power), _power(power)) for power in range(low, high + 1)]
    return LogChart(lines, ticks, begin_ms, end_ms)


def _bounded(value: float) -> float:
    return min(max(value, LEAST), MOST) if value == value else 1.0


def _power(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
