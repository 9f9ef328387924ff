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

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.ranked_groups import RankedGroups
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
        return len(self._ranked.starts) - 1

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
        order, starts = self._ranked.order, self._ranked.starts
        rows = np.concatenate([order[starts[unit] : starts[unit + 1]] for unit in units])
        predictions, relevance, groups = self.predictions[rows], self.relevance[rows], self.groups[rows]
        return replace(self, predictions=predictions, relevance=relevance, groups=groups)

    def confusion(self) -> Cells:
        return {}

    @cached_property
    def _fault(self) -> str:
        sizes = np.diff(self._ranked.starts)
        relevant = np.add.reduceat((self.relevance[self._ranked.order] > 0).astype(np.int64), self._ranked.starts[:-1])
        for empty, reason in ((sizes < 2, ONE_ROW), (relevant == 0, NOTHING_RELEVANT)):
            if empty.any():
                return reason.format(self.groups[self._ranked.order][self._ranked.starts[int(np.argmax(empty))]])
        return not_finite(np.isfinite(self.predictions))

    @cached_property
    def _of_groups(self) -> dict[str, Floats]:
        """The metrics of each group."""
        return {"map": self._ranked.average_precisions(), "ndcg": self._ranked.ndcgs()}

    @cached_property
    def _ranked(self) -> RankedGroups:
        return RankedGroups(self.predictions, self.relevance, self.groups)
