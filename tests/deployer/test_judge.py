import random

from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.policy import DEFAULT
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.deployer.judge import judge

POLICY = DEFAULT.judge


def stratum(
    weight: int, candidate: tuple[int, int] = (0, 0), stable: tuple[int, int] = (0, 0), epoch: int = 1
) -> facts.Stratum:
    """Arms as (bad keys, keys)."""
    return facts.Stratum(
        epoch=epoch,
        candidate_weight_bps=weight,
        candidate_bad_keys=candidate[0],
        candidate_keys=candidate[1],
        stable_bad_keys=stable[0],
        stable_keys=stable[1],
    )


@st.composite
def strata(draw: st.DrawFn) -> facts.Stratum:
    keys = st.integers(0, 100_000)
    candidate, stable = draw(keys), draw(keys)
    return stratum(
        draw(st.integers(0, 10_000)),
        (draw(st.integers(0, candidate)), candidate),
        (draw(st.integers(0, stable)), stable),
        draw(st.integers(0, 50)),
    )


def verdict(*seen: facts.Stratum) -> facts.Verdict.ValueType:
    return judge(POLICY, seen).verdict


def test_no_evidence_is_inconclusive():
    judgement = judge(POLICY, [])
    assert judgement.verdict == facts.VERDICT_INCONCLUSIVE
    assert (judgement.fail_e_value, judgement.pass_e_value) == (1, 1)


def test_three_times_the_errors_fail():
    assert verdict(stratum(1_000, (30, 1_000), (90, 9_000))) == facts.VERDICT_FAIL


def test_a_candidate_as_good_as_stable_passes_in_time():
    assert verdict(stratum(5_000, (300, 30_000), (300, 30_000))) == facts.VERDICT_PASS


def test_a_candidate_without_errors_passes_below_the_ceiling():
    assert verdict(stratum(500, (0, 300))) == facts.VERDICT_INCONCLUSIVE
    assert verdict(stratum(500, (0, 1_000))) == facts.VERDICT_PASS


def test_an_incident_that_hits_both_alike_fails_nobody():
    assert verdict(stratum(1_000, (500, 1_000), (4_500, 9_000))) != facts.VERDICT_FAIL


def test_an_arm_that_nobody_saw_neither_fails_nor_passes():
    assert verdict(stratum(500, (300, 300), (0, 0))) == facts.VERDICT_INCONCLUSIVE
    assert verdict(stratum(500, (0, 0), (5_000, 9_000))) == facts.VERDICT_INCONCLUSIVE


@given(st.sampled_from([0, 10_000]), st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_weight_without_two_arms_says_nothing_about_their_ratio(weight: int, bad: int, stable_bad: int):
    assert judge(POLICY, [stratum(weight, (bad, 1_000), (stable_bad, 1_000))]).fail_e_value == 1


@given(st.lists(strata(), max_size=6), st.randoms())
def test_the_order_of_the_strata_is_of_no_account(seen: list[facts.Stratum], order: random.Random):
    shuffled = list(seen)
    order.shuffle(shuffled)
    ours, theirs = judge(POLICY, seen), judge(POLICY, shuffled)
    assert (ours.verdict, ours.fail_e_value, ours.pass_e_value) == (
        theirs.verdict,
        theirs.fail_e_value,
        theirs.pass_e_value,
    )


@given(strata(), st.integers(1, 50))
def test_more_bad_candidate_keys_never_look_better(seen: facts.Stratum, more: int):
    worse = facts.Stratum()
    worse.CopyFrom(seen)
    worse.candidate_bad_keys = min(seen.candidate_keys, seen.candidate_bad_keys + more)
    before, after = judge(POLICY, [seen]), judge(POLICY, [worse])
    assert after.fail_e_value >= before.fail_e_value * (1 - 1e-9)
    assert after.pass_e_value <= before.pass_e_value * (1 + 1e-9)


@given(st.lists(strata(), max_size=6))
def test_the_judgement_holds_what_is_needed_to_judge_again(seen: list[facts.Stratum]):
    judgement = judge(POLICY, seen)
    assert judge(POLICY, judgement.strata) == judgement


def test_the_explanation_is_a_sentence_with_the_counts():
    explanation = judge(POLICY, [stratum(1_000, (30, 1_000), (90, 9_000))]).explanation
    assert explanation.startswith(
        "The candidate is worse: 30 of 1000 candidate keys and 90 of 9000 stable keys were bad"
    )


def test_looking_all_the_time_at_equal_arms_fails_no_more_than_alpha_of_them():
    policy = configuration.JudgePolicy(alpha=0.05, beta=0.05, fail_ratio=1.0, pass_ratio=1.5, pass_ceiling=0.005)
    chance, runs, alarms = random.Random(20), 200, 0
    for _ in range(runs):
        seen = stratum(2_500, stable=(0, 1), candidate=(0, 1))
        for _ in range(80):
            # One bad key of either arm after the other; the looks happen at every one of them.
            if chance.random() < 0.25:
                seen.candidate_bad_keys += 1
            else:
                seen.stable_bad_keys += 1
            seen.candidate_keys, seen.stable_keys = seen.candidate_bad_keys + 1, seen.stable_bad_keys + 1
            if judge(policy, [seen]).verdict == facts.VERDICT_FAIL:
                alarms += 1
                break
    assert alarms <= 0.05 * runs
