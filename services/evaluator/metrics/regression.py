"""The metrics of a regression task: errors of real-valued predictions.

A row may have several numbers. The metrics are then the means over them, as scikit-learn's uniform average.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Counts, Scores, not_finite, weighted_mean

NAMES = ("mae", "mse", "r2")
ONE_ROW = "there is only one row"
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

    def scores(self, counts: Counts) -> Scores:
        scores = Scores()
        if self._fault:
            scores.undefined.update(dict.fromkeys(NAMES, self._fault))
            return scores
        scores.add("mse", weighted_mean(self._squares.mean(axis=1), counts))
        scores.add("mae", weighted_mean(np.abs(self.predictions - self.answers).mean(axis=1), counts))
        self._add_r2(scores, counts)
        return scores

    def part(self, units: Integers) -> Self:
        return replace(self, predictions=self.predictions[units], answers=self.answers[units])

    def confusion(self) -> Cells:
        return {}

    def _add_r2(self, scores: Scores, counts: Counts) -> None:
        found: list[float] = []
        for column, squares in zip(self.answers.T, self._squares.T, strict=True):
            used = column[counts > 0]
            spread = float(np.sum(counts * (column - weighted_mean(column, counts)) ** 2))
            if counts.sum() == 1:
                scores.undefined["r2"] = ONE_ROW
                return
            if used.min() == used.max() or spread == 0:
                scores.undefined["r2"] = CONSTANT if len(self.answers.T) == 1 else CONSTANT_COLUMN.format(len(found))
                return
            found.append(1 - float(np.sum(counts * squares)) / spread)
        scores.add("r2", float(np.mean(found)))

    @cached_property
    def _squares(self) -> Floats:
        squares: Floats = (self.predictions - self.answers) ** 2
        return squares

    @cached_property
    def _fault(self) -> str:
        return not_finite(np.asarray(np.isfinite(self.predictions).all(axis=1)))
