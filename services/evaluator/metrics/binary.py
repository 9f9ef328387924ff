"""The metrics of a binary task. A probability at or above the threshold predicts 1."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import bins_of
from services.evaluator.metrics.calibration import CALIBRATION_ERROR, calibration_error
from services.evaluator.metrics.scores import INVALID, Cells, Scores, count, not_finite, sums, total

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
        predicted = {"0": self._valid & ~self._positive, "1": self._positive, INVALID: ~self._valid}
        actual = {"0": ~self._actual, "1": self._actual}
        found = {(a, p): count(actual[a] & predicted[p]) for a in actual for p in predicted}
        return {cell: number for cell, number in found.items() if number or INVALID not in cell}

    def _add_auc(self, scores: Scores, positives: int, negatives: int) -> None:
        if positives and negatives:
            scores.add("auc", self._area() / (positives * negatives))
        else:
            scores.undefined["auc"] = NO_NEGATIVE_ROW if positives else NO_POSITIVE_ROW

    def _area(self) -> float:
        """Pairs of a positive and a negative row in which the positive one scores higher; a tie is half (Mann-Whitney).

        Counted in whole numbers, so that nothing is rounded. A row is one number: its probability's place in the order,
        and whether it is positive in the last bit. So one sort is enough, and it moves no index beside the numbers.
        """
        ranked = np.sort(2 * _ordered(self.probabilities) + self._actual)
        positive = (ranked & 1).astype(np.bool_)
        places = np.flatnonzero(positive)
        pairs = int(places.sum()) - len(places) * (len(places) - 1) // 2  # those of ties too
        first = np.flatnonzero(positive[1:] & (ranked[1:] - ranked[:-1] == 1)) + 1  # the positive ones of each tie
        begin, end = np.searchsorted(ranked, ranked[first] - 1), np.searchsorted(ranked, ranked[first], "right")
        return pairs - int(np.sum((first - begin) * (end - first))) / 2

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
        # Column by column in memory, which is four times as fast to sum.
        return np.stack(groups).astype(np.float64).T

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


def _ordered(probabilities: Floats) -> Integers:
    """Whole numbers in the order of the probabilities, equal where these are: the bits of each, below half the range.

    In 32 bits where that is exact, which sorts in half the time.
    """
    narrow = probabilities.astype(np.float32)
    exact = np.array_equal(narrow, probabilities)
    bits = narrow.view(np.int32) if exact else probabilities.view(np.int64)
    # A float is a sign and a magnitude. Rounding leaves some probabilities a little below 0.
    magnitudes = bits & np.iinfo(bits.dtype).max
    return np.where(bits < 0, -magnitudes, magnitudes)
