"""The metrics of a binary task. A probability at or above the threshold predicts 1."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import bins_of
from services.evaluator.metrics.calibration import CALIBRATION_ERROR, calibration_error
from services.evaluator.metrics.scores import NO_ROW, Cells, Counts, Scores, confusion, not_finite, sums, weighted_mean

NO_COUNTS = {("0", "0"): 0, ("0", "1"): 0, ("1", "0"): 0, ("1", "1"): 0}
NO_POSITIVE_ROW = "no row is positive"
NO_NEGATIVE_ROW = "every row is positive"
NEVER_PREDICTED = "no row was predicted positive"


@dataclass(frozen=True)
class ProbabilityRows:
    """`resolution` is the smallest step of the predictions' datatype at 1. In log_loss a probability closer to 0 or 1
    counts as this far from it, as in scikit-learn."""

    probabilities: Floats
    answers: Integers
    threshold: float
    resolution: float

    @property
    def units(self) -> int:
        return len(self.answers)

    def part(self, units: Integers) -> Self:
        return replace(self, probabilities=self.probabilities[units], answers=self.answers[units])


class BinaryRows(ProbabilityRows):
    """One probability and one answer for each row."""

    def scores(self, counts: Counts) -> Scores:
        scores = Scores()
        total, positives = int(counts.sum()), int(counts[self._actual].sum())
        hits = int(counts[self._positive & self._actual].sum())
        claimed = int(counts[self._positive].sum())
        correct = int(counts[self.correct].sum())
        scores.share("accuracy", correct, total, NO_ROW)
        scores.share("recall", hits, positives, NO_POSITIVE_ROW)
        scores.share("precision", hits, claimed, NEVER_PREDICTED)
        scores.ratio("f1", 2 * hits, positives + claimed, f"{NO_POSITIVE_ROW} and {NEVER_PREDICTED}")
        if self._fault:
            scores.undefined.update(dict.fromkeys(("auc", "log_loss", CALIBRATION_ERROR), self._fault))
        else:
            scores.add(CALIBRATION_ERROR, calibration_error(self._bins, self.probabilities, self._actual, counts))
            scores.add("log_loss", weighted_mean(self._losses, counts))
            self._add_auc(scores, counts, positives, total - positives)
        return scores

    def confusion(self) -> Cells:
        predicted = np.where(self._valid, self._positive.astype(np.int64), -1)
        return NO_COUNTS | confusion(self.answers, predicted)

    def _add_auc(self, scores: Scores, counts: Counts, positives: int, negatives: int) -> None:
        if positives and negatives:
            scores.add("auc", self._area(counts) / (positives * negatives))
        else:
            scores.undefined["auc"] = NO_NEGATIVE_ROW if positives else NO_POSITIVE_ROW

    def _area(self, counts: Counts) -> float:
        """Pairs of a positive and a negative row in which the positive one scores higher; a tie is half (Mann-Whitney).

        Counted in halves, as whole numbers, so that nothing is rounded.
        """
        places, size = self._places
        positive = sums(places, np.where(self._actual, counts, 0), size)
        negative = sums(places, np.where(self._actual, 0, counts), size)
        below = np.cumsum(negative) - negative
        return int(np.sum(positive * (2 * below + negative))) / 2

    @cached_property
    def _places(self) -> tuple[npt.NDArray[np.int64], int]:
        """The rank of each row's probability among the different ones, and how many there are."""
        different, places = np.unique(self.probabilities, return_inverse=True)
        return places, len(different)

    @cached_property
    def _bins(self) -> Integers:
        return bins_of(self.probabilities)

    @cached_property
    def _losses(self) -> Floats:
        truth = np.where(self._actual, self.probabilities, 1 - self.probabilities)
        losses: Floats = -np.log(np.clip(truth, self.resolution, 1 - self.resolution))
        return losses

    @cached_property
    def _valid(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.probabilities)

    @cached_property
    def _fault(self) -> str:
        return not_finite(self._valid)

    @cached_property
    def _actual(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.answers, 1)

    @cached_property
    def _positive(self) -> npt.NDArray[np.bool_]:
        return self._valid & (self.probabilities >= self.threshold)

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        return self._valid & np.equal(self._positive, self._actual)
