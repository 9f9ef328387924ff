"""The metrics of a multiclass task. The largest logit of a row is its prediction; the first of equal ones wins.

recall, precision and f1 are means over the classes that occur among answers or predictions, as in scikit-learn. recall
is undefined when one of these classes has no row, precision when one was never predicted.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import bins_of
from services.evaluator.metrics.calibration import CALIBRATION_ERROR, calibration_error
from services.evaluator.metrics.scores import NO_ROW, Cells, Counts, Scores, confusion, not_finite, sums, weighted_mean

RESOLUTION = float(np.finfo(np.float64).eps)
"""Of the probabilities that follow from the logits. In log_loss one closer to 0 or 1 counts as this far from it."""
NO_ROW_OF_CLASS = "class {} was predicted and no row is of it"
NEVER_PREDICTED = "class {} was never predicted"


@dataclass(frozen=True)
class MulticlassRows:
    logits: Floats
    answers: Integers

    @property
    def units(self) -> int:
        return len(self.answers)

    def scores(self, counts: Counts) -> Scores:
        scores = Scores()
        classes = self.logits.shape[1]
        right = self._predicted == self.answers
        scores.share("accuracy", int(counts[right].sum()), int(counts.sum()), NO_ROW)
        hits = sums(self.answers[right], counts[right], classes)
        actual = sums(self.answers, counts, classes)
        claimed = sums(self._predicted[self._valid], counts[self._valid], classes)
        known = (actual > 0) | (claimed > 0)
        scores.add("f1", float(np.mean(2 * hits[known] / (actual + claimed)[known])))
        _add_mean(scores, "recall", hits, actual, known, NO_ROW_OF_CLASS)
        _add_mean(scores, "precision", hits, claimed, known, NEVER_PREDICTED)
        if self._fault:
            scores.undefined.update(dict.fromkeys(("log_loss", CALIBRATION_ERROR), self._fault))
        else:
            scores.add(CALIBRATION_ERROR, calibration_error(self._bins, self._confidence, right, counts))
            scores.add("log_loss", weighted_mean(self._losses, counts))
        return scores

    def part(self, units: Integers) -> Self:
        return replace(self, logits=self.logits[units], answers=self.answers[units])

    def confusion(self) -> Cells:
        return confusion(self.answers, self._predicted)

    @cached_property
    def _losses(self) -> Floats:
        of_truth = self._shifted[np.arange(len(self.answers)), self.answers] - self._log_sums
        losses: Floats = -np.log(np.clip(np.exp(of_truth), RESOLUTION, 1 - RESOLUTION))
        return losses

    @cached_property
    def _confidence(self) -> Floats:
        """The probability of the predicted class, whose shifted logit is 0."""
        return np.exp(-self._log_sums)

    @cached_property
    def _bins(self) -> Integers:
        return bins_of(self._confidence)

    @cached_property
    def _shifted(self) -> Floats:
        shifted: Floats = self.logits - self.logits.max(axis=1, keepdims=True)
        return shifted

    @cached_property
    def _log_sums(self) -> Floats:
        sums: Floats = np.log(np.sum(np.exp(self._shifted), axis=1))
        return sums

    @cached_property
    def _valid(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.logits).all(axis=1))

    @cached_property
    def _fault(self) -> str:
        return not_finite(self._valid)

    @cached_property
    def _predicted(self) -> Integers:
        return np.where(self._valid, np.argmax(self.logits, axis=1), -1)


def _add_mean(
    scores: Scores, name: str, hits: Counts, whole: Counts, known: npt.NDArray[np.bool_], reason: str
) -> None:
    empty = np.flatnonzero(known & (whole == 0))
    if len(empty):
        scores.undefined[name] = reason.format(empty[0])
    else:
        scores.add(name, float(np.mean(hits[known] / whole[known])))
