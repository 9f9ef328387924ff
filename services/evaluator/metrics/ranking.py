"""The metrics of a ranking task: means over the groups of rows that are ranked together.

- ndcg: the gain of a row is its relevance, divided by log2(1 + rank). Rows with equal scores share their gains, as in
  scikit-learn's ndcg_score.
- map: the mean of scikit-learn's average_precision_score, where a row counts as relevant when its relevance is above 0.

Both are undefined when a group has no relevant row or only one row, because such a group ranks nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Counts, Scores, not_finite, weighted_mean

NAMES = ("map", "ndcg")
ONE_ROW = "group {} has only one row"
NOTHING_RELEVANT = "group {} has no row with a relevance above 0"


@dataclass(frozen=True)
class RankingRows:
    predictions: Floats
    relevance: Floats
    groups: Integers

    @property
    def units(self) -> int:
        """Groups, because the rows of one group stay together."""
        return len(self._starts) - 1

    def scores(self, counts: Counts) -> Scores:
        scores = Scores()
        if self._fault:
            scores.undefined.update(dict.fromkeys(NAMES, self._fault))
            return scores
        gains, precisions = self._of_groups
        scores.add("ndcg", weighted_mean(gains, counts))
        scores.add("map", weighted_mean(precisions, counts))
        return scores

    def part(self, units: Integers) -> Self:
        rows = np.concatenate([self._order[self._starts[unit] : self._starts[unit + 1]] for unit in units])
        predictions, relevance, groups = self.predictions[rows], self.relevance[rows], self.groups[rows]
        return replace(self, predictions=predictions, relevance=relevance, groups=groups)

    def confusion(self) -> Cells:
        return {}

    @cached_property
    def _fault(self) -> str:
        sizes = np.diff(self._starts)
        relevant = np.add.reduceat((self.relevance[self._order] > 0).astype(np.int64), self._starts[:-1])
        for empty, reason in ((sizes < 2, ONE_ROW), (relevant == 0, NOTHING_RELEVANT)):
            if empty.any():
                return reason.format(self.groups[self._order][self._starts[int(np.argmax(empty))]])
        return not_finite(np.isfinite(self.predictions))

    @cached_property
    def _of_groups(self) -> tuple[Floats, Floats]:
        measured = [(ndcg(scores, gains), average_precision(scores, gains > 0)) for scores, gains in self._groups()]
        values = np.array(measured, np.float64)
        return values[:, 0], values[:, 1]

    def _groups(self) -> Iterator[tuple[Floats, Floats]]:
        scores, relevance = self.predictions[self._order], self.relevance[self._order]
        for start, end in zip(self._starts[:-1], self._starts[1:], strict=True):
            yield scores[start:end], relevance[start:end]

    @cached_property
    def _order(self) -> Integers:
        return np.argsort(self.groups, kind="stable")

    @cached_property
    def _starts(self) -> Integers:
        """Where each group starts in the order, and where the last one ends."""
        groups = self.groups[self._order]
        return np.concatenate(([0], np.flatnonzero(np.diff(groups)) + 1, [len(groups)]))


def ndcg(scores: Floats, gains: Floats) -> float:
    discounts = 1 / np.log2(np.arange(len(gains)) + 2)
    _, place, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    shared = np.bincount(place, gains) / sizes
    ends = np.cumsum(np.add.reduceat(discounts, np.cumsum(sizes) - sizes) * shared)
    ideal = np.sum(np.sort(gains)[::-1] * discounts)
    return float(ends[-1] / ideal)


def average_precision(scores: Floats, relevant: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    _, place, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.bincount(place, relevant)
    return float(np.sum(hits * np.cumsum(hits) / np.cumsum(sizes)) / np.sum(hits))
