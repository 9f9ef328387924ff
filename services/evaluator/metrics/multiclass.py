"""The metrics of a multiclass task. The largest logit of a row is its prediction; the first of equal ones wins.

recall, precision and f1 are means over the classes that occur among answers or predictions, as in scikit-learn. recall
is undefined when one of these classes has no row, precision when one was never predicted.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Counts, Scores, confusion, not_finite, weighted_mean

RESOLUTION = float(np.finfo(np.float64).eps)
"""Of the probabilities that follow from the logits. In log_loss one closer to 0 or 1 counts as this far from it."""
NO_ROW = "class {} was predicted and no row is of it"
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
        scores.add("accuracy", int(counts[right].sum()) / int(counts.sum()))
        hits = _sums(self.answers[right], counts[right], classes)
        actual = _sums(self.answers, counts, classes)
        claimed = _sums(self._predicted[self._valid], counts[self._valid], classes)
        known = (actual > 0) | (claimed > 0)
        scores.add("f1", float(np.mean(2 * hits[known] / (actual + claimed)[known])))
        _add_mean(scores, "recall", hits, actual, known, NO_ROW)
        _add_mean(scores, "precision", hits, claimed, known, NEVER_PREDICTED)
        if self._fault:
            scores.undefined["log_loss"] = self._fault
        else:
            scores.add("log_loss", weighted_mean(self._losses, counts))
        return scores

    def confusion(self) -> Cells:
        return confusion(self.answers, self._predicted)

    @cached_property
    def _losses(self) -> Floats:
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        of_truth = shifted[np.arange(len(self.answers)), self.answers] - np.log(np.sum(np.exp(shifted), axis=1))
        losses: Floats = -np.log(np.clip(np.exp(of_truth), RESOLUTION, 1 - RESOLUTION))
        return losses

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


def _sums(classes: Integers, counts: Counts, size: int) -> Counts:
    return np.bincount(classes, counts, size).astype(np.int64)
