"""The metrics of a regression task: errors of real-valued predictions.

A row may have several numbers. The metrics are then the means over them, as scikit-learn's uniform average.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Scores, not_finite, total

NAMES = ("mae", "mse", "r2")
ONE_ROW = "there is only one row"
CANCELLED = 1e-6
"""A difference of two sums that is so small a part of them is computed in another way."""
CONSTANT = "every answer is the same"
CONSTANT_COLUMN = "number {} of the answers is the same in every row"


@dataclass(frozen=True)
class RegressionRows:
    """Rows and columns: a column for each number that a row has."""

    predictions: Floats
    answers: Floats

    @property
    def units(self) -> int:
        return len(self.answers)

    def scores(self) -> Scores:
        scores = Scores()
        if self._fault:
            scores.undefined.update(dict.fromkeys(NAMES, self._fault))
            return scores
        scores.add("mse", float(self._row_squares.mean()))
        scores.add("mae", float(self._row_distances.mean()))
        self._add_r2(scores)
        return scores

    def resampled(self, counts: Floats) -> dict[str, float]:
        if self._fault:
            return {}
        means = {"mse": self._row_squares, "mae": self._row_distances}
        r2 = np.mean(1 - total(counts, self._squares) / self._spreads(counts))
        return {name: total(counts, of_rows) / self.units for name, of_rows in means.items()} | {"r2": float(r2)}

    def part(self, units: Integers) -> Self:
        return replace(self, predictions=self.predictions[units], answers=self.answers[units])

    def confusion(self) -> Cells:
        return {}

    def _add_r2(self, scores: Scores) -> None:
        if self.units == 1:
            scores.undefined["r2"] = ONE_ROW
            return
        spreads = spread_of(self.answers)
        constant = np.flatnonzero((self.answers.min(axis=0) == self.answers.max(axis=0)) | (spreads == 0))
        if len(constant):
            scores.undefined["r2"] = CONSTANT if len(spreads) == 1 else CONSTANT_COLUMN.format(constant[0])
            return
        scores.add("r2", float(np.mean(1 - self._squares.sum(axis=0) / spreads)))

    def _spreads(self, counts: Floats) -> Floats:
        """Of each column the sum of the squared distances of the sample's answers from their mean."""
        centred, its_squares = self._centred
        squares = total(counts, its_squares)
        spreads: Floats = squares - total(counts, centred) ** 2 / self.units
        if (spreads > CANCELLED * squares).all():
            return spreads
        # What is left of two nearly equal sums is mostly rounding.
        drawn = self.answers[np.repeat(np.arange(self.units), counts.astype(np.int64))]
        constant = drawn.min(axis=0) == drawn.max(axis=0)
        return np.where(constant, np.nan, spread_of(drawn))

    @cached_property
    def _centred(self) -> tuple[Floats, Floats]:
        """The distances of the answers from their mean, and their squares."""
        centred = self.answers - self.answers.mean(axis=0)
        return centred, centred**2

    @cached_property
    def _row_squares(self) -> Floats:
        means: Floats = self._squares.mean(axis=1)
        return means

    @cached_property
    def _row_distances(self) -> Floats:
        means: Floats = np.abs(self.predictions - self.answers).mean(axis=1)
        return means

    @cached_property
    def _squares(self) -> Floats:
        squares: Floats = (self.predictions - self.answers) ** 2
        return squares

    @cached_property
    def _fault(self) -> str:
        return not_finite(np.asarray(np.isfinite(self.predictions).all(axis=1)))


def spread_of(values: Floats) -> Floats:
    """Of each column the sum of the squared distances from its mean."""
    spreads: Floats = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    return spreads
