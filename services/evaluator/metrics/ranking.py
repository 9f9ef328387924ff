"""The metrics of a ranking task: means over the groups of rows that are ranked together.

- ndcg: the gain of a row is its relevance, divided by log2(1 + rank). Rows with equal scores share their gains, as in
  scikit-learn's ndcg_score.
- map: the mean of scikit-learn's average_precision_score, where a row counts as relevant when its relevance is above 0.

Both are undefined when a group has no relevant row or only one row, because such a group ranks nothing.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from services.evaluator.metrics.scores import Cells, Scores, not_finite, total

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

    def scores(self) -> Scores:
        scores = Scores()
        if self._fault:
            scores.undefined.update(dict.fromkeys(NAMES, self._fault))
            return scores
        for name, of_groups in self._of_groups.items():
            scores.add(name, float(of_groups.mean()))
        return scores

    def resampled(self, counts: Floats) -> dict[str, float]:
        if self._fault:
            return {}
        return {name: total(counts, of_groups) / self.units for name, of_groups in self._of_groups.items()}

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
    def _of_groups(self) -> dict[str, Floats]:
        """The metrics of each group."""
        by_rank = np.lexsort((-self.predictions, self.groups))
        scores, gains = self.predictions[by_rank], self.relevance[by_rank]
        begins = np.concatenate(([True], scores[1:] != scores[:-1]))
        begins[self._starts[:-1]] = True
        ties = np.flatnonzero(begins)
        return {"map": self._precisions(gains > 0, ties), "ndcg": self._ndcgs(gains, ties)}

    def _ndcgs(self, gains: Floats, ties: Integers) -> Floats:
        """`gains` by rank; at each of `ties` begin rows of one group with equal scores."""
        discounts = 1 / np.log2(self._ranks + 1)
        shared = np.add.reduceat(gains, ties) / np.diff(ties, append=len(gains))
        found = np.add.reduceat(np.add.reduceat(discounts, ties) * shared, np.searchsorted(ties, self._starts[:-1]))
        best = self.relevance[np.lexsort((-self.relevance, self.groups))]
        ideal: Floats = np.add.reduceat(best * discounts, self._starts[:-1])
        return found / ideal

    def _precisions(self, relevant: npt.NDArray[np.bool_], ties: Integers) -> Floats:
        """The average precision: the mean, over the relevant rows, of the precision down to the last of their ties."""
        upto, first = np.cumsum(relevant), np.searchsorted(ties, self._starts[:-1])
        last = np.append(ties[1:], len(relevant)) - 1
        before: Integers = np.repeat(
            upto[self._starts[:-1]] - relevant[self._starts[:-1]], np.diff(first, append=len(ties))
        )
        hits = np.add.reduceat(relevant.astype(np.int64), ties)
        found = np.add.reduceat(hits * (upto[last] - before) / self._ranks[last], first)
        return found / np.add.reduceat(hits, first)

    @cached_property
    def _ranks(self) -> Integers:
        """From 1 in each group."""
        return np.arange(1, len(self.groups) + 1) - np.repeat(self._starts[:-1], np.diff(self._starts))

    @cached_property
    def _order(self) -> Integers:
        return np.argsort(self.groups, kind="stable")

    @cached_property
    def _starts(self) -> Integers:
        """Where each group starts in the order, and where the last one ends."""
        groups = self.groups[self._order]
        return np.concatenate(([0], np.flatnonzero(np.diff(groups)) + 1, [len(groups)]))
