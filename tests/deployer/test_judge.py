import random

from hypothesis import given
from hypothesis import strategies as st

from headgate.cli.policy_file import read_policy
from headgate.domain.policy import DEFAULT, resolve
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.deployer.e_values import KeyCounts, Split, below, worse_than
from services.deployer.judge import judge
from tests.house.tree import ROOT

POLICY = DEFAULT.judge


def stratum(
    weight: int, candidate: tuple[int, int] = (0, 0), stable: tuple[int, int] = (0, 0), epoch: int = 1
) -> facts.Stratum:
    """The counts of both arms. Each arm is given as (bad keys, keys); all keys are new in the release."""
    counts = {}
    for arm, (bad, keys) in (("candidate", candidate), ("stable", stable)):
        counts |= {f"{arm}_{name}": bad for name in ("bad_keys", "new_bad_keys", "first_bad_keys")}
        counts |= {f"{arm}_{name}": keys for name in ("keys", "new_keys")}
    return facts.Stratum(epoch=epoch, candidate_weight_bps=weight, **counts)


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


def test_evidence_that_just_reaches_its_threshold_is_proof():
    """Without a key both e-values are 1; an alpha or a beta of 1 makes that the threshold."""
    sure = configuration.JudgePolicy()
    sure.CopyFrom(POLICY)
    sure.beta = 1.0
    assert judge(sure, []).verdict == facts.VERDICT_PASS
    sure.alpha = 1.0
    assert judge(sure, []).verdict == facts.VERDICT_FAIL


def test_the_first_bad_keys_of_both_arms_enter_under_their_weight_and_are_added_up_over_epochs():
    beside = stratum(1_000, (30, 1_000), (90, 9_000)), stratum(1_000, (5, 100), (1, 900), epoch=2)
    at_least = stratum(1, (2, 10), (3, 9_000), epoch=3)
    splits = [Split(0.0001, 2, 3), Split(0.1, 35, 91)]
    judgement = judge(POLICY, [*beside, at_least])
    assert judgement.fail_e_value == (worse_than(splits, POLICY.fail_ratio) + 1) / 2


def test_no_evidence_is_inconclusive():
    judgement = judge(POLICY, [])
    assert judgement.verdict == facts.VERDICT_INCONCLUSIVE
    assert (judgement.fail_e_value, judgement.pass_e_value) == (1, 1)


def test_a_candidate_with_three_times_the_errors_of_stable_fails():
    assert verdict(stratum(1_000, (30, 1_000), (90, 9_000))) == facts.VERDICT_FAIL


def test_a_candidate_as_good_as_stable_passes_after_enough_keys():
    assert verdict(stratum(5_000, (300, 30_000), (300, 30_000))) == facts.VERDICT_PASS


def test_a_candidate_without_errors_passes_below_the_ceiling():
    assert verdict(stratum(500, (0, 300))) == facts.VERDICT_INCONCLUSIVE
    assert verdict(stratum(500, (0, 1_000))) == facts.VERDICT_PASS


def test_an_incident_that_hits_both_arms_alike_does_not_fail_the_candidate():
    assert verdict(stratum(1_000, (500, 1_000), (4_500, 9_000))) != facts.VERDICT_FAIL


def test_without_keys_on_one_arm_the_verdict_is_inconclusive():
    assert verdict(stratum(500, (300, 300), (0, 0))) == facts.VERDICT_INCONCLUSIVE
    assert verdict(stratum(500, (0, 0), (5_000, 9_000))) == facts.VERDICT_INCONCLUSIVE


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_weight_at_which_one_arm_has_no_traffic_is_no_evidence_of_a_ratio(bad: int, stable_bad: int):
    assert judge(POLICY, [stratum(0, (bad, 1_000), (stable_bad, 1_000))]).fail_e_value == 1


# At full weight stable has no traffic.

BESIDE_STABLE = stratum(5_000, (2, 2_000), (2, 2_000))


def test_a_candidate_that_breaks_at_full_weight_fails():
    judgement = judge(POLICY, [BESIDE_STABLE, stratum(10_000, (30, 100), epoch=2)])
    assert judgement.verdict == facts.VERDICT_FAIL
    assert "; at full weight it had 30 of 100. " in judgement.explanation
    assert "a bad share above 0.02 at full weight" in judgement.explanation


def test_a_candidate_below_the_ceiling_at_full_weight_does_not_fail():
    assert verdict(BESIDE_STABLE, stratum(10_000, (180, 10_000), epoch=2)) != facts.VERDICT_FAIL


def test_a_candidate_as_bad_as_stable_was_does_not_fail_at_full_weight():
    beside = stratum(5_000, (200, 2_000), (200, 2_000))
    assert verdict(beside, stratum(10_000, (1_000, 10_000), epoch=2)) != facts.VERDICT_FAIL
    assert verdict(beside, stratum(10_000, (2_000, 10_000), epoch=2)) == facts.VERDICT_FAIL


def test_a_candidate_does_not_fail_when_stable_gave_only_bad_answers_too():
    beside = stratum(5_000, (500, 500), (500, 500))
    assert verdict(beside, stratum(10_000, (5_000, 5_000), epoch=2)) != facts.VERDICT_FAIL


def test_without_requests_at_full_weight_the_verdict_is_inconclusive():
    assert verdict(stratum(10_000)) == facts.VERDICT_INCONCLUSIVE


# A key that gets bad answers again and again.


def test_keys_that_were_bad_before_in_the_release_are_no_evidence_of_a_ratio():
    again = stratum(1_000, (100, 1_000), (10, 9_000))
    again.candidate_first_bad_keys = 0
    assert judge(POLICY, [again]).fail_e_value < 1


def test_a_key_that_got_bad_answers_from_both_arms_still_counts_against_the_ceiling():
    seen = stratum(5_000, (100, 1_000), (100, 1_000))
    seen.candidate_first_bad_keys = seen.stable_first_bad_keys = 0
    assert verdict(seen) == facts.VERDICT_INCONCLUSIVE


def test_the_mean_of_two_e_values_is_compared_with_one_over_alpha_and_one_over_beta():
    judgement = judge(POLICY, [stratum(500, (0, 800))])
    assert (judgement.fail_threshold, judgement.pass_threshold) == (1 / POLICY.alpha, 1 / POLICY.beta)
    # Without a bad key the e-value of the ratio stays at 1. The mean takes half of it and half of the ceiling's.
    assert judgement.pass_e_value == (1 + below(KeyCounts(800, 0), POLICY.pass_ceiling)) / 2


@given(st.lists(strata(), max_size=6), st.randoms())
def test_the_order_of_the_strata_does_not_change_the_judgement(seen: list[facts.Stratum], order: random.Random):
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
    for name in ("candidate_bad_keys", "candidate_new_bad_keys", "candidate_first_bad_keys"):
        setattr(worse, name, min(seen.candidate_keys, seen.candidate_bad_keys + more))
    before, after = judge(POLICY, [seen]), judge(POLICY, [worse])
    assert after.fail_e_value >= before.fail_e_value * (1 - 1e-9)
    assert after.pass_e_value <= before.pass_e_value * (1 + 1e-9)


@given(st.lists(strata(), max_size=6))
def test_a_judgement_can_be_computed_again_from_its_own_strata(seen: list[facts.Stratum]):
    judgement = judge(POLICY, seen)
    assert judge(POLICY, judgement.strata) == judgement


def test_the_explanation_is_a_sentence_with_the_counts():
    explanation = judge(POLICY, [stratum(1_000, (30, 1_000), (90, 9_000))]).explanation
    assert explanation.startswith("The candidate is worse: it had 30 bad keys of 1000, and stable 90 of 9000. ")


def test_the_front_page_shows_the_judges_explanation_of_its_counts():
    """The counts come from the run that README.md shows."""
    demo = resolve(read_policy(ROOT / "examples" / "demo_policy.toml")).judge
    judgement = judge(demo, [stratum(1_000, (4, 29), (0, 315))])
    counts, _ = judgement.explanation.split(". The evidence")
    page = " ".join((ROOT / "README.md").read_text().split())
    assert f"{counts}. ..." in page
    assert f"evidence that v4 is worse {judgement.fail_e_value:.3g} of {judgement.fail_threshold:g}" in page
