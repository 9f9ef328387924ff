"""The metrics of a regression task: errors of real-valued predictions."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Counts, Scores, not_finite, weighted_mean

NAMES = ("mae", "mse", "r2")
ONE_ROW = "there is only one row"
CONSTANT = "every answer is the same"


@dataclass(frozen=True)
class RegressionRows:
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
        scores.add("mse", weighted_mean(self._squares, counts))
        scores.add("mae", weighted_mean(np.abs(self.predictions - self.answers), counts))
        self._add_r2(scores, counts)
        return scores

    def part(self, units: Integers) -> Self:
        return replace(self, predictions=self.predictions[units], answers=self.answers[units])

    def confusion(self) -> Cells:
        return {}

    def _add_r2(self, scores: Scores, counts: Counts) -> None:
        used = self.answers[counts > 0]
        spread = float(np.sum(counts * (self.answers - weighted_mean(self.answers, counts)) ** 2))
        if counts.sum() == 1:
            scores.undefined["r2"] = ONE_ROW
        elif used.min() == used.max() or spread == 0:
            scores.undefined["r2"] = CONSTANT
        else:
            scores.add("r2", 1 - float(np.sum(counts * self._squares)) / spread)

    @cached_property
    def _squares(self) -> Floats:
        squares: Floats = (self.predictions - self.answers) ** 2
        return squares

    @cached_property
    def _fault(self) -> str:
        return not_finite(np.isfinite(self.predictions))
