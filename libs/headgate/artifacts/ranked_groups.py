"""Rows in groups, each group ranked by its predictions: how good the order of each group is.

Rows of one group with equal predictions share their ranks, as in scikit-learn.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headgate.artifacts.answers import Floats, Integers


@dataclass(frozen=True)
class RankedGroups:
    predictions: Floats
    relevance: Floats
    groups: Integers

    @cached_property
    def order(self) -> Integers:
        """The rows group by group."""
        return np.argsort(self.groups, kind="stable")

    @cached_property
    def starts(self) -> Integers:
        """Where each group starts in the order, and where the last one ends."""
        groups = self.groups[self.order]
        return np.concatenate(([0], np.flatnonzero(np.diff(groups)) + 1, [len(groups)]))

    def ndcgs(self, upto: int | None = None) -> Floats:
        """The ndcg of each group; of its first `upto` ranks alone where that is given."""
        discounts = 1 / np.log2(self._ranks + 1)
        if upto is not None:
            discounts[self._ranks > upto] = 0
        shared = np.add.reduceat(self._gains, self._ties) / np.diff(self._ties, append=len(self._gains))
        found = np.add.reduceat(np.add.reduceat(discounts, self._ties) * shared, self._first_ties)
        ideal: Floats = np.add.reduceat(self._best_gains * discounts, self.starts[:-1])
        return found / ideal

    def average_precisions(self) -> Floats:
        """Of each group the mean, over its relevant rows, of the precision down to the last of their ties."""
        relevant = self._gains > 0
        upto, first = np.cumsum(relevant), self._first_ties
        last = np.append(self._ties[1:], len(relevant)) - 1
        before: Integers = np.repeat(
            upto[self.starts[:-1]] - relevant[self.starts[:-1]], np.diff(first, append=len(self._ties))
        )
        hits = np.add.reduceat(relevant.astype(np.int64), self._ties)
        found = np.add.reduceat(hits * (upto[last] - before) / self._ranks[last], first)
        return found / np.add.reduceat(hits, first)

    @cached_property
    def _by_rank(self) -> Integers:
        return np.lexsort((-self.predictions, self.groups))

    @cached_property
    def _gains(self) -> Floats:
        """The relevance of the rows, by rank."""
        return self.relevance[self._by_rank]

    @cached_property
    def _best_gains(self) -> Floats:
        """The same in the best order."""
        return self.relevance[np.lexsort((-self.relevance, self.groups))]

    @cached_property
    def _ties(self) -> Integers:
        """Where rows of one group with equal predictions begin, by rank."""
        scores = self.predictions[self._by_rank]
        begins = np.concatenate(([True], scores[1:] != scores[:-1]))
        begins[self.starts[:-1]] = True
        return np.flatnonzero(begins)

    @cached_property
    def _first_ties(self) -> Integers:
        """Which of the ties is the first one of each group."""
        return np.searchsorted(self._ties, self.starts[:-1])

    @cached_property
    def _ranks(self) -> Integers:
        """From 1 in each group."""
        return np.arange(1, len(self.groups) + 1) - np.repeat(self.starts[:-1], np.diff(self.starts))
