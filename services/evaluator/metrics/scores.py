"""The metrics of one model on some rows: the defined ones with their values, the undefined ones with the reason.

A metric is undefined when its definition divides by nothing. No number takes its place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers

Cells = Mapping[tuple[str, str], int]
Counts = npt.NDArray[np.int64]
"""How often each row counts, or each group of rows that stay together."""

INVALID = "invalid"
NO_ROW = "there is no row"
MAX_CELLS = 2_000
"""Cells of a confusion. A larger one is left out, because the report has to fit into one record."""


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

    def share(self, name: str, hits: int, rows: int, reason: str) -> None:
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
    """Predictions and answers that fit their task. What does not depend on how often a row counts is computed once."""

    @property
    def units(self) -> int:
        """How many counts `scores` takes: one for each row, or for each group of rows that stay together."""
        ...

    def scores(self, counts: Counts) -> Scores: ...

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


def sums(places: Integers, counts: Counts, size: int) -> Counts:
    """For each place the sum of its counts. Whole numbers below 2**53 are exact in the doubles that bincount adds."""
    return np.bincount(places, counts, size).astype(np.int64)


def weighted_mean(values: Floats, counts: Counts) -> float:
    return float(np.sum(values * counts) / np.sum(counts))


def confusion(answers: Integers, predicted: Integers) -> dict[tuple[str, str], int]:
    """Counts by (actual, predicted), of the pairs that occur; a negative prediction is INVALID."""
    classes = 2 + max(int(answers.max()), int(predicted.max()))
    cells, counts = np.unique(answers * classes + predicted + 1, return_counts=True)
    if len(cells) > MAX_CELLS:
        return {}
    pairs = zip(*divmod(cells, classes), counts, strict=True)
    return {(str(actual), str(place - 1) if place else INVALID): int(count) for actual, place, count in pairs}
