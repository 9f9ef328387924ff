"""A gateway takes totals that fit the release, and refuses or puts off all others."""

import pytest

from headgate.domain.model import ModelState
from headgate.telemetry.counters import MAX_COUNT
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import arm
from services.gateway.fleet.claims import NOT_NEEDED, REFUSED, TAKEN, TRY_LATER, answer_to
from services.gateway.fleet.report_writer import Claim, records_of
from tests.gateway.harness import canary

DEVICE = next(name for n in range(99) if arm("salt", name := f"d-{n}", 5_000) == telemetry.ARM_CANDIDATE)


def state(**fields):
    found = ModelState(name="fraud")
    release = canary(5_000, epoch=7)
    release.MergeFrom(resources.Release(**fields))
    found.releases[1] = release
    return found


def totals(**fields):
    settings = {"model": "fraud", "release": 1, "epoch": 7, "candidate_weight_bps": 5_000, "version": 2, "requests": 9}
    return edge.DeviceTotals(**(settings | {"arm": telemetry.ARM_CANDIDATE} | fields))


def answered(found, model_state=None, environment="production"):
    answer = answer_to(found, DEVICE, model_state or state(), environment)
    return answer.outcome, answer.reason


def test_totals_that_fit_the_release_are_taken():
    assert answered(totals()) == (TAKEN, "")
    assert answered(totals(requests=MAX_COUNT, bad_requests=MAX_COUNT)) == (TAKEN, "")


def test_totals_of_an_earlier_epoch_are_taken_with_its_weight():
    assert answered(totals(epoch=5, candidate_weight_bps=9_999)) == (TAKEN, "")
    stable = {"arm": telemetry.ARM_STABLE, "version": 1}
    assert answered(totals(epoch=5, candidate_weight_bps=0, **stable)) == (TAKEN, "")


def test_totals_of_a_release_that_has_ended_are_not_needed():
    assert answered(totals(), state(ended_at_ms=5)) == (NOT_NEEDED, "release 1 has ended")


@pytest.mark.parametrize("later", [totals(epoch=8), totals(release=2)])
def test_totals_of_what_this_gateway_has_not_read_yet_are_reported_again(later):
    assert answered(later)[0] == TRY_LATER


def test_totals_of_a_model_that_this_gateway_does_not_know_are_reported_again():
    assert answer_to(totals(), DEVICE, None, "production").outcome == TRY_LATER


@pytest.mark.parametrize(
    ("false", "reason"),
    [
        (totals(arm=telemetry.ARM_STABLE, version=1), "arm is stable: this device is assigned to candidate"),
        (totals(candidate_weight_bps=9_000), "candidate_weight_bps is 9000: in epoch 7 it is 5000"),
        (totals(epoch=5, candidate_weight_bps=0), "arm is candidate: this device is assigned to stable"),
        (totals(version=1), "version is 1: the candidate version is 2"),
        (totals(bad_requests=10), "bad_requests is 10: requests is only 9"),
        (totals(late_requests=1), "late_requests is 1: bad_requests is only 0"),
        (totals(requests=-1), "requests is -1"),
        (totals(release=0), "release is 0"),
        (totals(epoch=-1), "release is 1 and epoch is -1"),
        (totals(candidate_weight_bps=10_001), "candidate_weight_bps is 10001"),
        (totals(arm=telemetry.ARM_UNSPECIFIED), "arm is 0"),
    ],
)
def test_totals_that_break_a_rule_are_refused_with_it(false, reason):
    outcome, why = answered(false)
    assert outcome == REFUSED
    assert why.startswith(reason)


def test_totals_of_another_environment_are_refused():
    assert answered(totals(), environment="staging") == (REFUSED, "release 1 is for production")


def test_many_devices_make_one_record_for_each_epoch_and_no_record_is_too_large():
    claims = [Claim(f"d-{n}", "i", totals(epoch=epoch)) for n in range(1_500) for epoch in (5, 7)]
    sizes = [(record.epoch, len(record.devices)) for record in records_of("production", claims)]
    assert sizes == [(5, 1_000), (5, 500), (7, 1_000), (7, 500)]
