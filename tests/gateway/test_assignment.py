import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import HASH_BITS, arm, arm_of_hash

KEYS = 20_000
WEIGHTS = st.integers(0, FULL_WEIGHT_BPS)


@given(salt=st.text(max_size=20), key=st.text(max_size=40), weight=WEIGHTS)
def test_a_key_always_gets_the_same_arm(salt, key, weight):
    assert arm(salt, key, weight) == arm(salt, key, weight)


@given(salt=st.text(max_size=20), key=st.text(max_size=40), weights=st.tuples(WEIGHTS, WEIGHTS))
def test_a_higher_weight_only_moves_keys_from_stable_to_the_candidate(salt, key, weights):
    low, high = sorted(weights)
    if arm(salt, key, low) == telemetry.ARM_CANDIDATE:
        assert arm(salt, key, high) == telemetry.ARM_CANDIDATE


@given(key=st.text(max_size=40))
def test_weight_0_sends_no_key_and_full_weight_sends_every_key_to_the_candidate(key):
    assert arm("salt", key, 0) == telemetry.ARM_STABLE
    assert arm("salt", key, FULL_WEIGHT_BPS) == telemetry.ARM_CANDIDATE


@pytest.mark.parametrize("weight", [1, 500, 9_999])
def test_the_candidates_hashes_end_exactly_at_its_weight(weight):
    first_beyond = -(-weight * 2**HASH_BITS // FULL_WEIGHT_BPS)
    assert arm_of_hash(first_beyond - 1, weight) == telemetry.ARM_CANDIDATE
    assert arm_of_hash(first_beyond, weight) == telemetry.ARM_STABLE


def test_the_candidates_share_of_the_keys_equals_its_weight():
    for weight in (500, 2_500, 5_000, 9_000):
        share = sum(arm("salt", f"user-{n}", weight) == telemetry.ARM_CANDIDATE for n in range(KEYS)) / KEYS
        wanted = weight / FULL_WEIGHT_BPS
        deviation = (wanted * (1 - wanted) / KEYS) ** 0.5
        assert abs(share - wanted) < 4 * deviation, weight


def test_another_salt_chooses_other_keys():
    first = {n for n in range(KEYS) if arm("first", f"user-{n}", 1_000) == telemetry.ARM_CANDIDATE}
    second = {n for n in range(KEYS) if arm("second", f"user-{n}", 1_000) == telemetry.ARM_CANDIDATE}
    # Each salt chooses a tenth of the keys. Independent choices have a tenth of those in common.
    assert 0.05 < len(first & second) / len(first) < 0.15
