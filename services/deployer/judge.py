"""Is the candidate worse than stable? A verdict from integer counts and a policy: the same ones give the same bits.

Beside stable, FAIL and PASS compare the two arms' bad keys of the same moments, so that looking at every tick is free,
late counts change nothing, and what hits both arms fails nobody. At full weight nothing is beside the candidate, and
a comparison with an earlier hour would blame it for the hour. There FAIL is absolute, as Podkopaev and Ramdas track
a deployed model's risk (ICLR 2022): the bad share against the policy's ceiling, or against what stable itself had
shown in this release where that was more, so that a version as bad as the one it replaces is not taken back for it.

The bounds hold for keys that fail independently and are counted once. A key's first bad answer in a release is counted
once over all gateways. For the absolute tests a key that reaches several gateways, or one before and after a restart,
is several keys: what is shown below or above a ceiling is shown of the gateways' keys.
"""

from collections.abc import Sequence

from headgate.domain.weights import FULL_WEIGHT_BPS, share_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.deployer.e_values import Split, Tally, above, below, better_than, worse_than


def judge(policy: configuration.JudgePolicy, strata: Sequence[facts.Stratum]) -> facts.Judgement:
    """FAIL once "worse by fail_ratio" or "too bad at full weight" is shown, PASS once "not as bad as pass_ratio" or
    "below pass_ceiling" is; FAIL goes first.

    Two tests share alpha, and two share beta: the mean of their e-values is held against 1/alpha and 1/beta.
    Everything else is INCONCLUSIVE, missing data above all. The same strata in any order give the same bits.
    """
    ordered = sorted(strata, key=lambda stratum: (stratum.epoch, stratum.candidate_weight_bps))
    splits = _splits(ordered)
    too_bad = above(_at_full_weight(ordered), full_weight_bound(policy, ordered))
    fine = below(_candidate(ordered), policy.pass_ceiling)
    judgement = facts.Judgement(
        verdict=facts.VERDICT_INCONCLUSIVE,
        strata=ordered,
        fail_e_value=(worse_than(splits, policy.fail_ratio) + too_bad) / 2,
        fail_threshold=1 / policy.alpha,
        pass_e_value=(better_than(splits, policy.pass_ratio) + fine) / 2,
        pass_threshold=1 / policy.beta,
    )
    if judgement.fail_e_value >= judgement.fail_threshold:
        judgement.verdict = facts.VERDICT_FAIL
    elif judgement.pass_e_value >= judgement.pass_threshold:
        judgement.verdict = facts.VERDICT_PASS
    judgement.explanation = _explain(policy, judgement)
    return judgement


def full_weight_bound(policy: configuration.JudgePolicy, strata: Sequence[facts.Stratum]) -> float:
    """The bad share that the candidate may have once nothing serves beside it."""
    return max(policy.fail_ceiling, policy.fail_ratio * _stable(strata).bad_share)


def _splits(strata: Sequence[facts.Stratum]) -> list[Split]:
    """First bad keys for each weight at which both arms were seen.

    A key enters with its first bad answer in the whole release, under the weight of that moment. That moment depends
    on the key alone as long as the versions are equal, so the chance that it was the candidate's is the weight.
    An arm nobody has seen is missing data: the other's errors say nothing about their ratio.
    """
    counts: dict[int, tuple[int, int]] = {}
    for stratum in strata:
        comparable = (
            0 < stratum.candidate_weight_bps < FULL_WEIGHT_BPS and stratum.candidate_keys and stratum.stable_keys
        )
        if comparable:
            candidate, stable = counts.get(stratum.candidate_weight_bps, (0, 0))
            counts[stratum.candidate_weight_bps] = (
                candidate + stratum.candidate_first_bad_keys,
                stable + stratum.stable_first_bad_keys,
            )
    return [Split(share_of(weight), *counts[weight]) for weight in sorted(counts)]


def _at_full_weight(strata: Sequence[facts.Stratum]) -> Tally:
    """A release has one epoch of full weight, so its keys are counted once."""
    alone = [stratum for stratum in strata if stratum.candidate_weight_bps == FULL_WEIGHT_BPS]
    return Tally(sum(s.candidate_keys for s in alone), sum(s.candidate_bad_keys for s in alone))


def _candidate(strata: Sequence[facts.Stratum]) -> Tally:
    return Tally(sum(s.candidate_new_keys for s in strata), sum(s.candidate_new_bad_keys for s in strata))


def _stable(strata: Sequence[facts.Stratum]) -> Tally:
    return Tally(sum(s.stable_new_keys for s in strata), sum(s.stable_new_bad_keys for s in strata))


def _explain(policy: configuration.JudgePolicy, judgement: facts.Judgement) -> str:
    candidate, stable, alone = (each(judgement.strata) for each in (_candidate, _stable, _at_full_weight))
    counts = (
        f"{candidate.bad} of {candidate.keys} candidate keys and {stable.bad} of {stable.keys} stable keys were bad"
    )
    too_bad = ""
    if alone.keys:
        counts += f", and {alone.bad} of {alone.keys} candidate keys at full weight"
        too_bad = f" or a bad share above {full_weight_bound(policy, judgement.strata):.3g} at full weight"
    worse = (
        f"the evidence for more than {policy.fail_ratio:g} times stable's risk{too_bad} is "
        f"{judgement.fail_e_value:.3g} and {judgement.fail_threshold:.3g} is proof"
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
