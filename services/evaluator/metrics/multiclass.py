"""The metrics of a multiclass task. The largest logit of a row is its prediction; the first of equal ones wins.

recall, precision and f1 are means over the classes that occur among answers or predictions, as in scikit-learn. recall
is undefined when one of these classes has no row, precision when one was never predicted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import bins_of
from services.evaluator.metrics.calibration import CALIBRATION_ERROR, calibration_error
from services.evaluator.metrics.scores import Cells, Scores, confusion, count, not_finite, sums, total

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

    def scores(self) -> Scores:
        scores = Scores()
        hits, actual, claimed = self._of_classes(np.ones(self.units))
        scores.share("accuracy", count(self._right), self.units)
        means = _means(hits, actual, claimed)
        scores.add("f1", means["f1"])
        _add_mean(scores, "recall", means, (actual == 0) & (claimed > 0), NO_ROW_OF_CLASS)
        _add_mean(scores, "precision", means, (claimed == 0) & (actual > 0), NEVER_PREDICTED)
        if self._fault:
            scores.undefined.update(dict.fromkeys(("log_loss", CALIBRATION_ERROR), self._fault))
        else:
            scores.add(CALIBRATION_ERROR, calibration_error(bins_of(self._confidence), self._confidence, self._right))
            scores.add("log_loss", float(self._losses.mean()))
        return scores

    def resampled(self, counts: Floats) -> dict[str, float]:
        means = _means(*self._of_classes(counts))
        return means if self._fault else means | {"log_loss": total(counts, self._losses) / self.units}

    def _of_classes(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        """Of each class: rows that are rightly predicted, rows of the class, and rows predicted as such."""
        classes = self.logits.shape[1]
        return (
            sums(self.answers[self._right], counts[self._right], classes),
            sums(self.answers, counts, classes),
            sums(self._predicted[self._valid], counts[self._valid], classes),
        )

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
    def _right(self) -> npt.NDArray[np.bool_]:
        return np.equal(self._predicted, self.answers)

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


def _means(hits: Floats, actual: Floats, claimed: Floats) -> dict[str, float]:
    """Over the classes that occur."""
    known = (actual > 0) | (claimed > 0)
    of_classes = {"f1": 2 * hits / (actual + claimed), "recall": hits / actual, "precision": hits / claimed}
    return {name: float(each[known].mean()) for name, each in of_classes.items()}


def _add_mean(scores: Scores, name: str, means: Mapping[str, float], empty: npt.NDArray[np.bool_], reason: str) -> None:
    """Adds one of the means; none when it is undefined for a class, because that is empty."""
    classes = np.flatnonzero(empty)
    if len(classes):
        scores.undefined[name] = reason.format(classes[0])
    else:
        scores.add(name, means[name])
