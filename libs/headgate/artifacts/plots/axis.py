"""Where numbers lie on an axis, and which of them are written beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1, 2, 5, 10)
MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, which are not equal."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """From 0 at the low end to 1 at the high end."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers within the axis, at equal distances."""
        step = _round_step((self.high - self.low) / MOST_TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def axis_of(values: Sequence[float], low: float | None = None, high: float | None = None) -> Axis:
    """An axis on which all values lie; `low` and `high` are on it too."""
    ends = [*values, *(end for end in (low, high) if end is not None)] or [0.0, 1.0]
    least, most = min(ends), max(ends)
    if least == most:
        return Axis(least - max(abs(least), 1.0) / 2, most + max(abs(most), 1.0) / 2)
    return Axis(least, most)


def text_of(value: float) -> str:
    return f"{value + 0.0:.4g}"


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))
