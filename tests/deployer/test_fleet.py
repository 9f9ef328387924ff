"""What devices report reaches the judge once, in whatever order and however often it comes."""

import random

from hypothesis import given
from hypothesis import strategies as st

from headgate.telemetry import counters
from headgate.telemetry.rules import flaw_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.evidence import GatewayReports
from services.deployer.fleet import FleetCounts
from tests.deployer.reports import evidence

RELEASE = resources.Release(release=1, environment="production")
STABLE, CANDIDATE = telemetry.ARM_STABLE, telemetry.ARM_CANDIDATE


def device(name, requests, bad=0, late=0, arm=CANDIDATE, incarnation="i"):
    return telemetry.DeviceCounts(
        device=name,
        incarnation=incarnation,
        arm=arm,
        version=2 if arm == CANDIDATE else 1,
        requests=requests,
        bad_requests=bad,
        late_requests=late,
    )


def record(*devices, epoch=7, weight=500, release=1):
    found = telemetry.DeviceEvidence(
        environment="production",
        model="fraud",
        release=release,
        epoch=epoch,
        candidate_weight_bps=weight,
        devices=devices,
    )
    return telemetry.TelemetryRecord(source="gateway-0", boot_id="b", sequence=1, device_evidence=found)


def strata(*records):
    reports = GatewayReports()
    for each in records:
        assert flaw_of(each) == ""
        reports.add(each)
    return list(reports.strata("fraud", RELEASE))


def test_a_device_is_one_key_with_all_of_its_requests():
    (stratum,) = strata(record(device("a", 90, bad=4), device("b", 5), device("c", 7, bad=7, arm=STABLE)))
    assert (stratum.candidate_requests, stratum.candidate_bad_requests) == (95, 4)
    assert (stratum.candidate_keys, stratum.candidate_bad_keys, stratum.candidate_first_bad_keys) == (2, 1, 1)
    assert (stratum.stable_requests, stratum.stable_keys, stratum.stable_first_bad_keys) == (7, 1, 1)


def test_a_device_whose_state_was_lost_is_the_same_key():
    (stratum,) = strata(record(device("a", 9, bad=1)), record(device("a", 4, bad=1, incarnation="new")))
    assert (stratum.candidate_requests, stratum.candidate_keys, stratum.candidate_bad_keys) == (13, 1, 1)
    assert (stratum.candidate_new_keys, stratum.candidate_new_bad_keys, stratum.candidate_first_bad_keys) == (1, 1, 1)


def test_a_device_is_new_to_an_arm_and_badly_answered_for_the_first_time_once_in_a_release():
    early = record(device("a", 9, bad=1, arm=STABLE), epoch=7, weight=500)
    later = record(device("a", 9, bad=2), epoch=9, weight=5_000)
    latest = record(device("a", 3, bad=3), epoch=11, weight=10_000)
    for order in ((early, later, latest), (latest, later, early)):
        first, second, third = strata(*order)
        assert (first.stable_first_bad_keys, first.stable_new_keys) == (1, 1)
        assert (second.candidate_first_bad_keys, second.candidate_new_keys, second.candidate_new_bad_keys) == (0, 1, 1)
        assert (third.candidate_keys, third.candidate_new_keys, third.candidate_bad_keys) == (1, 0, 1)


def test_devices_and_gateways_are_added_up():
    (stratum,) = strata(record(device("a", 9)), evidence((1, 5), (2, 50)))
    assert (stratum.candidate_keys, stratum.stable_keys) == (6, 50)


def test_a_report_without_a_release_is_ignored():
    assert strata(record(device("a", 9), release=0)) == []


def test_the_device_without_a_report_for_longest_is_dropped_when_there_are_too_many():
    fleet = FleetCounts(max_counters=3)
    for name in "abcabd":
        fleet.add(record(device(name, 10)).device_evidence)
    (stratum,) = fleet.strata("production", "fraud", 1)
    assert (stratum.candidate_keys, stratum.candidate_requests) == (3, 30)
    fleet.add(record(*[device(name, 1) for name in "xyz"], release=2).device_evidence)
    assert fleet.strata("production", "fraud", 1) == []


device_reports = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([(3, 100), (5, 5_000), (8, 10_000)]),
        st.sampled_from([STABLE, CANDIDATE]),
        st.sampled_from(["i", "j"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=30,
)


@given(device_reports, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_reports_gives_the_same_counts(given_reports, shuffler: random.Random):
    totals = {}
    records = []
    for name, under, arm, incarnation, more, bad in given_reports:
        requests, was_bad = totals.get((name, under, arm, incarnation), (0, 0))
        now = totals[name, under, arm, incarnation] = (requests + more, was_bad + min(more, bad))
        epoch, weight = under
        records.append(record(device(name, *now, arm=arm, incarnation=incarnation), epoch=epoch, weight=weight))
    expected = without_empty(strata(*records))
    again = [*records, *records]
    shuffler.shuffle(again)
    assert without_empty(strata(*again)) == expected
    for stratum in expected:
        for arm in (STABLE, CANDIDATE):
            assert not list(counters.faults_of(arm_of(stratum, arm)))


def without_empty(found):
    return [each for each in found if each.candidate_requests or each.stable_requests]


def arm_of(stratum: facts.Stratum, arm):
    name = counters.ARM_NAMES[arm]
    return telemetry.ArmCounts(**{each: getattr(stratum, f"{name}_{each}") for each in counters.COUNTERS})
