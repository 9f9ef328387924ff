"""The metrics of a multilabel task: of each label as in a binary task, and their means over the labels.

A mean is undefined when it is undefined for one label. accuracy is the share of rows whose labels are all right.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats
from services.evaluator.metrics.binary import BinaryRows, ProbabilityRows
from services.evaluator.metrics.scores import Cells, Scores, count, total

MEANS = ("auc", "f1", "precision", "recall")


class MultilabelRows(ProbabilityRows):
    """`probabilities` and `answers` have one column for each label."""

    def scores(self) -> Scores:
        scores = Scores()
        scores.share("accuracy", count(np.asarray(self._right.all(axis=1))), self.units)
        scores.add("hamming_loss", count(~self._right) / self._right.size)
        of_labels = [label.scores() for label in self._labels]
        for name in MEANS:
            _add_mean(scores, name, of_labels)
        return scores

    def resampled(self, counts: Floats) -> dict[str, float]:
        of_labels = [label.shares(counts) | {"auc": label.area(counts)} for label in self._labels]
        means = {name: float(np.mean([label[name] for label in of_labels])) for name in MEANS}
        return means | {"hamming_loss": total(counts, self._wrong_shares) / self.units}

    def confusion(self) -> Cells:
        return {}

    @cached_property
    def _labels(self) -> list[BinaryRows]:
        return [
            BinaryRows(probabilities, answers, self.threshold, self.resolution)
            for probabilities, answers in zip(self.probabilities.T, self.answers.T, strict=True)
        ]

    @cached_property
    def _wrong_shares(self) -> Floats:
        """Of each row the share of its labels that are wrong."""
        return np.asarray(np.mean(~self._right, axis=1))

    @cached_property
    def _right(self) -> npt.NDArray[np.bool_]:
        return np.stack([label.correct for label in self._labels], axis=1)


def _add_mean(scores: Scores, name: str, of_labels: list[Scores]) -> None:
    for number, label in enumerate(of_labels):
        if name in label.undefined:
            scores.undefined[name] = f"label {number}: {label.undefined[name]}"
            return
    scores.add(name, float(np.mean([label.values[name] for label in of_labels])))
