"""The evidence counters: protos, gateway, rules and deployer all use one list."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain import policy as policies
from headgate.telemetry import counters
from headgate.telemetry.counters import BOUNDS, COUNTERS, MAX_COUNT
from headgate.telemetry.rules import flaw_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.evidence import MAX_COUNTERS, GatewayReports
from services.deployer.judge import judge
from services.gateway.evidence import ArmCounter, EvidenceCounters
from services.gateway.routes import Route

LARGEST_INT64 = 2**63 - 1
ROUTE = Route("fraud", stable=1, candidate=2, candidate_bps=5_000, release=1, epoch=3, salt="s")
WRONG_COUNTS = (-1, -(10**6), MAX_COUNT + 1, LARGEST_INT64)


def fields_of(message: type[telemetry.ArmCounts] | type[facts.Stratum]) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.fields}


def counted(answers: list[tuple[int, int, bool, bool]]) -> telemetry.Evidence:
    """The evidence of a gateway after these answers. Each is an arm, a key and whether it was bad and late."""
    counter = EvidenceCounters().counter_of(ROUTE)
    for arm, key, bad, late in answers:
        # A key stays on one arm within an epoch, so even keys are for stable.
        counter.count(telemetry.Arm.ValueType(arm), key * 2 + (arm == telemetry.ARM_CANDIDATE), bad, late)
    return counter.evidence("production")


def record_of(evidence: telemetry.Evidence) -> telemetry.TelemetryRecord:
    return telemetry.TelemetryRecord(source="gateway-0", boot_id="b", sequence=1, at_ms=1, evidence=evidence)


evidences = st.lists(
    st.tuples(
        st.sampled_from([telemetry.ARM_STABLE, telemetry.ARM_CANDIDATE]),
        st.integers(0, 20),
        st.booleans(),
        st.booleans(),
    ),
    max_size=60,
).map(counted)


def test_the_list_has_the_counters_of_the_protos() -> None:
    assert fields_of(telemetry.ArmCounts) - {"arm", "version", "first_bad_key_hashes"} == set(COUNTERS)
    of_both_arms = {f"{arm}_{counter}" for arm in counters.ARM_NAMES.values() for counter in COUNTERS}
    assert fields_of(facts.Stratum) - {"epoch", "candidate_weight_bps"} == of_both_arms


def test_the_gateway_counts_the_counters_of_the_list() -> None:
    names = {field.name for field in dataclasses.fields(ArmCounter)}
    assert names - {"version", "first_bad_key_hashes"} == set(COUNTERS)


def test_the_sum_of_the_largest_counts_fits_into_the_proto() -> None:
    assert MAX_COUNT * MAX_COUNTERS <= LARGEST_INT64


@given(evidences)
def test_the_counts_of_a_gateway_have_no_fault(evidence: telemetry.Evidence) -> None:
    assert flaw_of(record_of(evidence)) == ""


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("count", WRONG_COUNTS)
def test_every_counter_has_its_range(counter: str, count: int) -> None:
    arm = telemetry.ArmCounts(arm=telemetry.ARM_CANDIDATE, **dict.fromkeys(COUNTERS, 5))
    setattr(arm, counter, count)
    flaw = flaw_of(record_of(telemetry.Evidence(environment="production", model="fraud", arms=[arm])))
    assert flaw == f"evidence.arms[0].{counter} is {count}: it must be 0 to {MAX_COUNT}"


@pytest.mark.parametrize(("counter", "bound"), BOUNDS)
def test_no_counter_exceeds_the_one_that_bounds_it(counter: str, bound: str) -> None:
    arm = telemetry.ArmCounts(arm=telemetry.ARM_STABLE, **dict.fromkeys(COUNTERS, 5))
    assert list(counters.faults_of(arm)) == []
    setattr(arm, bound, 4)
    assert f"{counter} is 5: {bound} is only 4" in list(counters.faults_of(arm))


def test_a_listed_bad_key_is_counted_and_listed_once() -> None:
    arm = telemetry.ArmCounts(arm=telemetry.ARM_STABLE, **dict.fromkeys(COUNTERS, 2), first_bad_key_hashes=[7, 8])
    assert list(counters.faults_of(arm)) == []
    arm.first_bad_key_hashes.append(9)
    assert list(counters.faults_of(arm)) == ["first_bad_key_hashes has 3 keys: first_bad_keys is only 2"]
    arm.first_bad_key_hashes[:] = [7, 7]
    assert list(counters.faults_of(arm)) == ["first_bad_key_hashes has a key twice"]


def test_an_arm_is_reported_once() -> None:
    arm = telemetry.ArmCounts(arm=telemetry.ARM_STABLE, **dict.fromkeys(COUNTERS, 2))
    evidence = telemetry.Evidence(environment="production", model="fraud", arms=[arm, arm])
    assert flaw_of(record_of(evidence)) == "evidence.arms[1].arm is 1: this arm is given twice"


@given(
    evidences,
    st.integers(0, 1),
    st.sampled_from(COUNTERS),
    st.one_of(st.integers(-3, 80), st.sampled_from([*WRONG_COUNTS, MAX_COUNT, -(2**63)])),
)
def test_almost_valid_evidence_is_refused_or_judged_without_an_error(
    evidence: telemetry.Evidence, side: int, counter: str, count: int
) -> None:
    """One field of a real report is changed. The judge must be able to use every report that the rules accept."""
    arm = evidence.arms[side]
    setattr(arm, counter, count)
    refused = flaw_of(record_of(evidence)) != ""
    is_sound = 0 <= count <= MAX_COUNT and all(getattr(arm, low) <= getattr(arm, high) for low, high in BOUNDS)
    assert refused == (not is_sound or len(arm.first_bad_key_hashes) > arm.first_bad_keys)
    if refused:
        return
    reports = GatewayReports()
    reports.add(record_of(evidence))
    release = resources.Release(release=1, environment="production", candidate=2, stable=1, epoch=3)
    strata = reports.strata("fraud", release)
    assert all(value >= 0 for stratum in strata for _, value in stratum.ListFields())
    judgement = judge(policies.DEFAULT.judge, strata)
    assert math.isfinite(judgement.pass_e_value)
    assert math.isfinite(judgement.fail_e_value)
