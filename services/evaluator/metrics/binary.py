"""The metrics of a binary task. A probability at or above the threshold predicts 1."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import bins_of
from services.evaluator.metrics.calibration import CALIBRATION_ERROR, calibration_error
from services.evaluator.metrics.scores import Cells, Scores, confusion, count, not_finite, sums, total

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

    def scores(self) -> Scores:
        scores = Scores()
        positives, claimed = count(self._actual), count(self._positive)
        hits = count(self._positive & self._actual)
        scores.share("accuracy", count(self.correct), self.units)
        scores.share("recall", hits, positives, NO_POSITIVE_ROW)
        scores.share("precision", hits, claimed, NEVER_PREDICTED)
        scores.ratio("f1", 2 * hits, positives + claimed, f"{NO_POSITIVE_ROW} and {NEVER_PREDICTED}")
        if self._fault:
            scores.undefined.update(dict.fromkeys(("auc", "log_loss", CALIBRATION_ERROR), self._fault))
        else:
            scores.add(
                CALIBRATION_ERROR, calibration_error(bins_of(self.probabilities), self.probabilities, self._actual)
            )
            scores.add("log_loss", float(self._losses.mean()))
            self._add_auc(scores, positives, self.units - positives)
        return scores

    def resampled(self, counts: Floats) -> dict[str, float]:
        of_sample = {"f1": self.shares(counts)["f1"]}
        if not self._fault:
            of_sample |= {"auc": self.area(counts), "log_loss": total(counts, self._losses) / self.units}
        return of_sample

    def shares(self, counts: Floats) -> dict[str, float]:
        """recall, precision and f1 of a sample."""
        hits, positives, claimed = total(counts, self._groups)
        return {"recall": hits / positives, "precision": hits / claimed, "f1": 2 * hits / (positives + claimed)}

    def area(self, counts: Floats) -> float:
        """auc of a sample."""
        places, groups = self._places
        negative, positive = sums(places, counts, 2 * groups).reshape(groups, 2).T
        below = np.cumsum(negative) - negative / 2
        return float(total(positive, below) / (positive.sum() * negative.sum()))

    def confusion(self) -> Cells:
        predicted = np.where(self._valid, self._positive.astype(np.int64), -1)
        return NO_COUNTS | confusion(self.answers, predicted)

    def _add_auc(self, scores: Scores, positives: int, negatives: int) -> None:
        if positives and negatives:
            scores.add("auc", self._area() / (positives * negatives))
        else:
            scores.undefined["auc"] = NO_NEGATIVE_ROW if positives else NO_POSITIVE_ROW

    def _area(self) -> float:
        """Pairs of a positive and a negative row in which the positive one scores higher; a tie is half (Mann-Whitney).

        Counted in halves, as whole numbers, so that nothing is rounded. Sorting both apart is faster than ranks,
        and less in the datatype that the probabilities came in.
        """
        narrow = self.probabilities.astype(np.float32)
        values = narrow if np.array_equal(narrow, self.probabilities) else self.probabilities
        positive, negative = np.sort(values[self._actual]), np.sort(values[~self._actual])
        below, not_above = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
        return int(np.sum(below) + np.sum(not_above)) / 2

    @cached_property
    def _places(self) -> tuple[Integers, int]:
        """Of each row twice the number of its group, and one more if it is positive; and how many groups there are.

        Groups are ordered by probability. Rows that lie beside each other and are all positive, or all negative, are
        one group, because their order changes no area; so are rows with one probability.
        """
        order = np.argsort(self.probabilities, kind="stable")
        ranked, actual = self.probabilities[order], self._actual[order]
        ties = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
        sizes, positive = np.diff(ties, append=len(ranked)), np.add.reduceat(actual.astype(np.int64), ties)
        mixed, all_positive = (positive > 0) & (positive < sizes), positive == sizes
        begins = mixed[1:] | mixed[:-1] | (all_positive[1:] != all_positive[:-1])
        groups = np.concatenate(([0], np.cumsum(begins)))
        places = np.empty(len(order), np.int64)
        places[order] = 2 * np.repeat(groups, sizes) + actual
        return places, int(groups[-1]) + 1

    @cached_property
    def _groups(self) -> Floats:
        """Of each row, as 0 or 1: whether it is rightly predicted positive, is positive, and is predicted positive."""
        groups = (self._positive & self._actual, self._actual, self._positive)
        return np.stack(groups, axis=1).astype(np.float64)

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
