"""The judge's arithmetic: e-values from integer counts. Each starts at 1 and has a mean of at most 1 under its null.

So by Ville's inequality it ever reaches 1/alpha with a chance of at most alpha, however often one looks, and the mean
of two such values is one again (Vovk and Wang, Annals of Statistics 2021): two tests share one alpha.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EFFECTS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""How far beyond the null the alternatives lie; each gets the same prior weight."""

LOG_LARGEST = 700.0
"""E-values beyond exp(700) would be infinite as doubles; no threshold is near."""


@dataclass(frozen=True, slots=True)
class Split:
    """Bad keys of both arms while the candidate had one share of the traffic, between 0 and 1."""

    share: float
    candidate_bad: int
    stable_bad: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Keys of one arm, each counted once."""

    keys: int
    bad: int

    @property
    def bad_share(self) -> float:
        return self.bad / self.keys if self.keys else 0.0


def worse_than(splits: Sequence[Split], ratio: float) -> float:
    """Evidence that the candidate's risk is above `ratio` times stable's (Lindon and Malek, NeurIPS 2022).

    Given that a key was bad while the candidate had the share w, it was the candidate's with a probability that
    depends only on w and the ratio of the risks: the base rate cancels, and so does what hits both arms alike.
    """
    return _mean_ratio(_relative(splits, ratio, ratio * effect) for effect in EFFECTS)


def better_than(splits: Sequence[Split], ratio: float) -> float:
    """Evidence that the candidate's risk is below `ratio` times stable's: the mirror image of `worse_than`."""
    return _mean_ratio(_relative(splits, ratio, ratio / effect) for effect in EFFECTS)


def below(tally: Tally, bad_share: float) -> float:
    """Evidence that a key's first answer is bad with a probability below `bad_share`.

    A key that turns bad later counts as bad as well, which can only make the evidence smaller.
    """
    return _mean_ratio(_absolute(tally, bad_share, bad_share / effect) for effect in EFFECTS)


def above(tally: Tally, bad_share: float) -> float:
    """Evidence that a key is answered badly, sooner or later, with a probability above `bad_share`.

    A key counts as good until then, which can only make the evidence smaller. Nothing lies above 1.
    """
    if bad_share >= 1:
        return 1.0
    return _mean_ratio(_absolute(tally, bad_share, _shifted(bad_share, effect)) for effect in EFFECTS)


def _relative(splits: Sequence[Split], null: float, alternative: float) -> float:
    """Log likelihood ratio of one risk ratio against another."""
    return math.fsum(
        split.candidate_bad * math.log(_shifted(split.share, alternative) / _shifted(split.share, null))
        + split.stable_bad * math.log((1 - _shifted(split.share, alternative)) / (1 - _shifted(split.share, null)))
        for split in splits
    )


def _absolute(tally: Tally, null: float, alternative: float) -> float:
    """Log likelihood ratio of one bad share against another."""
    good = tally.keys - tally.bad
    return tally.bad * math.log(alternative / null) + good * (math.log1p(-alternative) - math.log1p(-null))


def _shifted(probability: float, factor: float) -> float:
    """The probability whose odds are `factor` times as large: also of a bad key to be the candidate's."""
    return probability * factor / (probability * factor + 1 - probability)


def _mean_ratio(log_ratios: Iterable[float]) -> float:
    logs = list(log_ratios)
    largest = max(logs)
    log_mean = largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))
    return math.exp(min(log_mean, LOG_LARGEST))
