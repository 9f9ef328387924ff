"""The judge's arithmetic: computes e-values from integer counts.

Each e-value starts at 1, and its mean is at most 1 while its null hypothesis is true. So the chance that it ever
reaches 1/alpha is at most alpha, however often it is looked at (Ville's inequality). The mean of two e-values is an
e-value too (Vovk and Wang, Annals of Statistics 2021), so two tests can share one alpha.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EFFECTS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Each alternative hypothesis lies beyond the null by one of these factors. All have the same prior weight."""

LOG_LARGEST = 700.0
"""Doubles overflow soon above exp(700), so e-values end there. No threshold is near it."""


@dataclass(frozen=True, slots=True)
class Split:
    """Bad keys of both arms at one weight. `share` is the candidate's share of the traffic, between 0 and 1."""

    share: float
    candidate_bad: int
    stable_bad: int


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """All keys and bad keys of one arm. Each key is counted once."""

    keys: int
    bad: int

    @property
    def bad_share(self) -> float:
        return self.bad / self.keys if self.keys else 0.0


def worse_than(splits: Sequence[Split], ratio: float) -> float:
    """Evidence that the candidate's risk is above `ratio` times stable's (Lindon and Malek, NeurIPS 2022).

    Take a key that was bad while the candidate had the share w. The probability that it was the candidate's depends
    only on w and on the ratio of the two risks. The base rate cancels out, and so does a fault that hits both arms.
    """
    return _mean_ratio(_relative(splits, ratio, ratio * effect) for effect in EFFECTS)


def better_than(splits: Sequence[Split], ratio: float) -> float:
    """Evidence that the candidate's risk is below `ratio` times stable's: the same test in the other direction."""
    return _mean_ratio(_relative(splits, ratio, ratio / effect) for effect in EFFECTS)


def below(counts: KeyCounts, bad_share: float) -> float:
    """Evidence that the probability of a bad first answer to a key is below `bad_share`.

    A key that becomes bad later also counts as bad. This can only make the evidence smaller.
    """
    return _mean_ratio(_absolute(counts, bad_share, bad_share / effect) for effect in EFFECTS)


def above(counts: KeyCounts, bad_share: float) -> float:
    """Evidence that the probability that a key ever gets a bad answer is above `bad_share`.

    A key counts as good until its first bad answer. This can only make the evidence smaller.
    No probability is above 1, so a `bad_share` of 1 or more gives no evidence.
    """
    if bad_share >= 1:
        return 1.0
    return _mean_ratio(_absolute(counts, bad_share, _shifted(bad_share, effect)) for effect in EFFECTS)


def _relative(splits: Sequence[Split], null: float, alternative: float) -> float:
    """Log of the likelihood ratio: one ratio of the risks (`alternative`) against another (`null`)."""
    return math.fsum(
        split.candidate_bad * math.log(_shifted(split.share, alternative) / _shifted(split.share, null))
        + split.stable_bad * math.log((1 - _shifted(split.share, alternative)) / (1 - _shifted(split.share, null)))
        for split in splits
    )


def _absolute(counts: KeyCounts, null: float, alternative: float) -> float:
    """Log of the likelihood ratio: one bad share (`alternative`) against another (`null`)."""
    good = counts.keys - counts.bad
    return counts.bad * math.log(alternative / null) + good * (math.log1p(-alternative) - math.log1p(-null))


def _shifted(probability: float, factor: float) -> float:
    """The probability whose odds are `factor` times as large.

    With a share and a ratio of risks it is the probability that a bad key is the candidate's.
    """
    return probability * factor / (probability * factor + 1 - probability)


def _mean_ratio(log_ratios: Iterable[float]) -> float:
    logs = list(log_ratios)
    largest = max(logs)
    log_mean = largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))
    return math.exp(min(log_mean, LOG_LARGEST))
