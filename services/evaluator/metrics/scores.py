"""The metrics of one model on some rows: the defined ones with their values, the undefined ones with the reason.

A metric is undefined when its definition divides by nothing. No number takes its place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers

Cells = Mapping[tuple[str, str], int]

INVALID = "invalid"
NO_ROW = "there is no row"
MAX_CELLS = 2_000
"""Cells of a confusion. A larger one is left out, because the report has to fit into one record."""
MAX_COUNTED = 1 << 20
"""Up to so many different pairs of classes have a counter each."""


class Unmeasurable(Exception):
    """The rows or the predictions do not fit the task."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Each metric is either in `values`, by its name, or in `undefined`, with the reason.

    `shares` has hits and number of rows of those that are shares of independent rows.
    """

    values: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    shares: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """A value that no double can hold is undefined."""
        if math.isfinite(value):
            self.values[name] = float(value)
        else:
            self.undefined[name] = "its value is larger than a double can hold"

    def ratio(self, name: str, part: float, whole: float, reason: str) -> None:
        """Undefined for the reason when the whole is 0."""
        if whole:
            self.add(name, part / whole)
        else:
            self.undefined[name] = reason

    def share(self, name: str, hits: int, rows: int, reason: str = NO_ROW) -> None:
        """A ratio of rows, each of which is a hit or not."""
        self.ratio(name, hits, rows, reason)
        if rows:
            self.shares[name] = hits, rows


class Method(Enum):
    EXACT_BINOMIAL = auto()
    BOOTSTRAP = auto()


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of a metric."""

    low: float
    high: float
    confidence: float
    method: Method


class Rows(Protocol):
    """Predictions and answers that fit their task. What all samples of the rows need is computed once."""

    @property
    def units(self) -> int:
        """The number of rows, or of groups of rows that stay together. Samples are drawn from these."""
        ...

    def scores(self) -> Scores: ...

    def resampled(self, counts: Floats) -> Mapping[str, float]:
        """The metrics that have a bootstrap interval, of one sample; not finite where a metric is undefined.

        `counts` says how often each unit is in the sample, which has as many as there are units.
        """
        ...

    def part(self, units: Integers) -> Self:
        """Those with these numbers."""
        ...

    def confusion(self) -> Cells: ...


def not_finite(valid: npt.NDArray[np.bool_]) -> str:
    """Why metrics that need every prediction are undefined; empty when all are finite."""
    if valid.all():
        return ""
    rows = np.flatnonzero(~valid)
    others = f" (and those of {len(rows) - 1} others)" if len(rows) > 1 else ""
    return f"the prediction of row {rows[0]}{others} is not a finite number"


def count(those: npt.NDArray[np.bool_]) -> int:
    """How many are true."""
    return int(np.count_nonzero(those))


def total(counts: Floats, values: Floats) -> Any:
    """The sum of the values, or of each column of them, each as often as it counts.

    Not by BLAS: it would use all cores, and round in another way on each number of them.
    """
    return np.einsum("i,i...->...", counts, values)


def sums(places: Integers, counts: Floats, size: int) -> Floats:
    """For each place the sum of its counts. Whole numbers below 2**53 stay exact."""
    return np.asarray(np.bincount(places, counts, size), np.float64)


def confusion(answers: Integers, predicted: Integers) -> dict[tuple[str, str], int]:
    """Counts by (actual, predicted), of the pairs that occur; a negative prediction is INVALID."""
    classes = 2 + max(int(answers.max()), int(predicted.max()))
    cells, counts = _counted(answers * classes + predicted + 1, classes * classes)
    if len(cells) > MAX_CELLS:
        return {}
    pairs = zip(*divmod(cells, classes), counts, strict=True)
    return {(str(actual), str(place - 1) if place else INVALID): int(count) for actual, place, count in pairs}


def _counted(codes: Integers, below: int) -> tuple[Integers, Integers]:
    """The different ones, in their order, and how often each occurs."""
    if below > MAX_COUNTED:
        found: tuple[Integers, Integers] = np.unique(codes, return_counts=True)
        return found
    counts = np.bincount(codes)
    different = np.flatnonzero(counts)
    return different, counts[different]
