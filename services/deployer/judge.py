"""Is the candidate worse than stable? The conditional e-process of Lindon and Malek (NeurIPS 2022) on bad keys.

Given that a key was bad while the candidate had the share w, it was the candidate's with a probability that depends
only on w and the risk ratio. So the base rate cancels, looking at every tick is free, and late counts change nothing.
"""

import math
from collections.abc import Iterable, Sequence

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts

WHOLE_BPS = 10_000
EFFECTS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""How far beyond the null the alternatives lie; each gets the same prior weight."""

LOG_LARGEST = 700.0
"""E-values beyond exp(700) would be infinite as doubles; no threshold is near."""


def judge(policy: configuration.JudgePolicy, strata: Sequence[facts.Stratum]) -> facts.Judgement:
    """FAIL once "worse by fail_ratio" is shown, PASS once "not as bad as pass_ratio" or "below pass_ceiling" is.

    Everything else is INCONCLUSIVE, missing data above all. The same strata in any order give the same bits.
    """
    ordered = sorted(strata, key=lambda stratum: (stratum.epoch, stratum.candidate_weight_bps))
    counts = _bad_keys_by_weight(ordered)
    fail = _e_value(_relative(counts, policy.fail_ratio, effect) for effect in EFFECTS)
    not_worse = _e_value(_relative(counts, policy.pass_ratio, 1 / effect) for effect in EFFECTS)
    below_ceiling = _e_value(_absolute(ordered, policy.pass_ceiling, effect) for effect in EFFECTS)
    judgement = facts.Judgement(
        verdict=facts.VERDICT_INCONCLUSIVE,
        strata=ordered,
        fail_e_value=fail,
        fail_threshold=1 / policy.alpha,
        pass_e_value=max(not_worse, below_ceiling),
        pass_threshold=1 / policy.beta,
    )
    if judgement.fail_e_value >= judgement.fail_threshold:
        judgement.verdict = facts.VERDICT_FAIL
    elif judgement.pass_e_value >= judgement.pass_threshold:
        judgement.verdict = facts.VERDICT_PASS
    judgement.explanation = _explain(policy, judgement)
    return judgement


def _bad_keys_by_weight(strata: Sequence[facts.Stratum]) -> list[tuple[float, int, int]]:
    """Share of the candidate, its bad keys and stable's, for each weight at which both arms were seen.

    An arm nobody has seen is missing data: the other's errors say nothing about their ratio.
    """
    counts: dict[int, tuple[int, int]] = {}
    for stratum in strata:
        comparable = 0 < stratum.candidate_weight_bps < WHOLE_BPS and stratum.candidate_keys and stratum.stable_keys
        if comparable:
            candidate, stable = counts.get(stratum.candidate_weight_bps, (0, 0))
            counts[stratum.candidate_weight_bps] = (
                candidate + stratum.candidate_bad_keys,
                stable + stratum.stable_bad_keys,
            )
    return [(weight / WHOLE_BPS, *counts[weight]) for weight in sorted(counts)]


def _relative(counts: Sequence[tuple[float, int, int]], ratio: float, effect: float) -> float:
    """Log likelihood ratio of the risk ratio `ratio * effect` against `ratio`."""
    return math.fsum(
        candidate * math.log(_candidate_share(weight, ratio * effect) / _candidate_share(weight, ratio))
        + stable * math.log((1 - _candidate_share(weight, ratio * effect)) / (1 - _candidate_share(weight, ratio)))
        for weight, candidate, stable in counts
    )


def _candidate_share(weight: float, ratio: float) -> float:
    """Probability that a bad key is the candidate's."""
    return weight * ratio / (weight * ratio + 1 - weight)


def _absolute(strata: Sequence[facts.Stratum], ceiling: float, effect: float) -> float:
    """Log likelihood ratio of the bad share `ceiling / effect` against `ceiling`, over the candidate's keys."""
    keys = sum(stratum.candidate_keys for stratum in strata)
    bad = sum(stratum.candidate_bad_keys for stratum in strata)
    return bad * math.log(1 / effect) + (keys - bad) * (math.log1p(-ceiling / effect) - math.log1p(-ceiling))


def _e_value(log_ratios: Iterable[float]) -> float:
    """The mean of the likelihood ratios."""
    logs = list(log_ratios)
    largest = max(logs)
    log_mean = largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))
    return math.exp(min(log_mean, LOG_LARGEST))


def _explain(policy: configuration.JudgePolicy, judgement: facts.Judgement) -> str:
    strata = judgement.strata
    counts = (
        f"{sum(s.candidate_bad_keys for s in strata)} of {sum(s.candidate_keys for s in strata)} candidate keys and "
        f"{sum(s.stable_bad_keys for s in strata)} of {sum(s.stable_keys for s in strata)} stable keys were bad"
    )
    worse = (
        f"the evidence for more than {policy.fail_ratio:g} times stable's risk is {judgement.fail_e_value:.3g} "
        f"and {judgement.fail_threshold:.3g} is proof"
    )
    fine = (
        f"the evidence for less than {policy.pass_ratio:g} times stable's risk or a bad share below "
        f"{policy.pass_ceiling:g} is {judgement.pass_e_value:.3g} and {judgement.pass_threshold:.3g} is proof"
    )
    if judgement.verdict == facts.VERDICT_FAIL:
        return f"The candidate is worse: {counts}; {worse}."
    if judgement.verdict == facts.VERDICT_PASS:
        return f"The candidate is good enough: {counts}; {fine}."
    return f"Undecided: {counts}; {worse}; {fine}."
