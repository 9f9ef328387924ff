"""The curves of predictions on test rows. They follow the definitions of scikit-learn.

A curve has at most MAX_POINTS points, the first and the last one among them. Each of them is exact.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import BINS, bins_of
from headgate.artifacts.plots.plot import Series
from headgate.artifacts.ranked_groups import RankedGroups

Truth = npt.NDArray[np.bool_]

MAX_POINTS = 500
MAX_RANKS = 20
"""Of a ranking."""
LEAST_RANKED = 2
"""Rows of a group that can be ranked."""


class NoCurve(Exception):
    """These rows have no such curve. The text says why."""


def roc(name: str, scores: Floats, positive: Truth) -> Series:
    """False and true positive rates, from the highest threshold to the lowest. Raises NoCurve."""
    hits, claimed = _counts(scores, positive)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise NoCurve("every row is positive" if positives else "no row is positive")
    true, false = np.append(0, hits) / positives, np.append(0, claimed - hits) / negatives
    return series(name, false, true)


def precision_recall(name: str, scores: Floats, positive: Truth) -> Series:
    """Recalls and precisions, from the highest threshold to the lowest. Raises NoCurve."""
    if not positive.any():
        raise NoCurve("no row is positive")
    hits, claimed = _counts(scores, positive)
    return series(name, hits / positive.sum(), hits / claimed)


def calibration(name: str, probabilities: Floats, came_true: Truth) -> Series:
    """For each bin with rows: the mean probability, and the share of the rows in which it came true."""
    bins = bins_of(probabilities)
    rows = np.bincount(bins, minlength=BINS)
    some = rows > 0
    mean = np.bincount(bins, probabilities, BINS)[some] / rows[some]
    return series(name, mean, np.bincount(bins, came_true, BINS)[some] / rows[some])


def residuals(name: str, predictions: Floats, answers: Floats) -> Series:
    """Predictions and their distances from the answers, for rows at equal distances in the test rows."""
    return series(name, predictions, predictions - answers)


def ndcg_at(name: str, groups: RankedGroups) -> Series:
    """For each number of ranks from 1 on: the mean over the groups of their ndcg at so many. Raises NoCurve."""
    first = groups.starts[:-1]
    if (np.diff(groups.starts) < LEAST_RANKED).any():
        raise NoCurve("a group has only one row")
    if not (np.maximum.reduceat(groups.relevance[groups.order], first) > 0).all():
        raise NoCurve("a group has no row with a relevance above 0")
    ranks = range(1, min(MAX_RANKS, int(np.diff(groups.starts).max())) + 1)
    return series(name, ranks, [float(groups.ndcgs(upto).mean()) for upto in ranks])


def confusion(predicted: Integers, answers: Integers, classes: int) -> list[list[int]]:
    """For each class of the answers, how often each class was predicted."""
    counts = np.bincount(answers * classes + predicted, minlength=classes * classes)
    found: list[list[int]] = counts.reshape(classes, classes).tolist()
    return found


def series(name: str, x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> Series:
    """With at most MAX_POINTS of the points."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(np.int64))
    return Series(name, np.asarray(x, np.float64)[kept].tolist(), np.asarray(y, np.float64)[kept].tolist())


def _counts(scores: Floats, positive: Truth) -> tuple[Integers, Integers]:
    """At each different score, from the highest: how many rows at or above it are positive, and how many there are."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return np.cumsum(positive[order])[last], last + 1
