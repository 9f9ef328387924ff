"""Decides whether the candidate is worse than stable, from integer counts and a policy.

While both arms have traffic, FAIL and PASS compare the bad keys of both arms at the same moments. So the judge may look
as often as it likes, late counts do no harm, and a fault that hits both arms does not fail the candidate.

At full weight stable has no traffic, and a comparison with an earlier hour would blame the candidate for the hour. So
there FAIL looks at the candidate's bad share alone, as Podkopaev and Ramdas track the risk of a deployed model
(ICLR 2022). The limit is the policy's ceiling, or `fail_ratio` times the bad share of stable earlier in this release if
that is higher. So a candidate that is only as bad as the version before it is not taken back.

The bounds on wrong verdicts hold for keys that fail independently and are counted once. A key's first bad answer in a
release is counted once over all gateways. The tests of the bad share count a key once for each gateway that it reaches,
and again after a gateway's restart.
"""

from collections.abc import Sequence

from headgate.domain.weights import FULL_WEIGHT_BPS, share_of
from headgate.domain.words import counted
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.deployer.e_values import KeyCounts, Split, above, below, better_than, worse_than


def judge(policy: configuration.JudgePolicy, strata: Sequence[facts.Stratum]) -> facts.Judgement:
    """FAIL, PASS or INCONCLUSIVE, with the evidence and an explanation. FAIL goes before PASS.

    FAIL needs proof that the candidate's risk is above `fail_ratio` times stable's, or that its bad share at full
    weight is too high. PASS needs proof that its risk is below `pass_ratio` times stable's, or that its bad share is
    below `pass_ceiling`. Everything else is INCONCLUSIVE, and so is missing data.

    FAIL is proved when the mean of the e-values of its two tests reaches 1/alpha; for PASS it is 1/beta.
    The result does not depend on the order of the strata, down to the last bit.
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
    """The highest bad share that the candidate may have at full weight."""
    return max(policy.fail_ceiling, policy.fail_ratio * _stable(strata).bad_share)


def _splits(strata: Sequence[facts.Stratum]) -> list[Split]:
    """The first bad keys of both arms, for each weight at which both arms had keys.

    A key counts once, with its first bad answer in the whole release, under the weight of that moment. While both
    versions are equally good, that moment depends on the key alone. So the chance that the candidate gave the answer
    equals the weight. When one arm had no keys, the errors of the other arm prove nothing about the ratio.
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


def _at_full_weight(strata: Sequence[facts.Stratum]) -> KeyCounts:
    """The candidate's keys at full weight. A release has one epoch of full weight, so no key is counted twice."""
    alone = [stratum for stratum in strata if stratum.candidate_weight_bps == FULL_WEIGHT_BPS]
    return KeyCounts(sum(s.candidate_keys for s in alone), sum(s.candidate_bad_keys for s in alone))


def _candidate(strata: Sequence[facts.Stratum]) -> KeyCounts:
    return KeyCounts(sum(s.candidate_new_keys for s in strata), sum(s.candidate_new_bad_keys for s in strata))


def _stable(strata: Sequence[facts.Stratum]) -> KeyCounts:
    return KeyCounts(sum(s.stable_new_keys for s in strata), sum(s.stable_new_bad_keys for s in strata))


def _explain(policy: configuration.JudgePolicy, judgement: facts.Judgement) -> str:
    candidate, stable, alone = (each(judgement.strata) for each in (_candidate, _stable, _at_full_weight))
    whose = "the candidate" if judgement.verdict == facts.VERDICT_INCONCLUSIVE else "it"
    counts = (
        f"{whose} had {counted(candidate.bad, 'bad key')} of {candidate.keys}, and stable {stable.bad} of {stable.keys}"
    )
    too_bad = ""
    if alone.keys:
        counts += f"; at full weight {whose} had {alone.bad} of {alone.keys}"
        too_bad = f", or a bad share above {full_weight_bound(policy, judgement.strata):.3g} at full weight"
    worse = (
        f"The evidence for a risk above {policy.fail_ratio:g} times stable's{too_bad} is "
        f"{judgement.fail_e_value:.3g}; {judgement.fail_threshold:.3g} is proof."
    )
    fine = (
        f"The evidence for a risk below {policy.pass_ratio:g} times stable's, or a bad share below "
        f"{policy.pass_ceiling:g}, is {judgement.pass_e_value:.3g}; {judgement.pass_threshold:.3g} is proof."
    )
    if judgement.verdict == facts.VERDICT_FAIL:
        return f"The candidate is worse: {counts}. {worse}"
    if judgement.verdict == facts.VERDICT_PASS:
        return f"The candidate is good enough: {counts}. {fine}"
    return f"Undecided: {counts}. {worse} {fine}"
