"""The gauges of releases that the deployer shows to Prometheus."""

import pytest

from headgate.runtime.observability.metrics import Reading
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.deployer.readings import ACTIVE, RELEASES, readings
from tests.deployer.test_pilot import NOW_MS, Given, baking, release, stepping, version


def phases(given: Given) -> dict[str, str]:
    """The phase in each of the two metrics."""
    read = readings({"fraud": given.state}, given.environments, given.reports, NOW_MS)
    return {name: labels[-1] for name, labels, _ in read if name in (ACTIVE, RELEASES)}


@pytest.mark.parametrize(
    ("shown", "active"), [("stepping", stepping()), ("baking", baking(3)), ("paused", stepping(paused=True))]
)
def test_a_release_is_shown_in_its_phase_or_as_paused(shown: str, active: resources.Release) -> None:
    assert phases(Given(version(1), version(2), active)) == {ACTIVE: shown, RELEASES: shown}


def test_a_release_that_ended_while_it_was_paused_is_shown_as_ended() -> None:
    ended = release(phase=resources.PHASE_ROLLED_BACK, paused=True)
    assert phases(Given(version(1), version(2), ended)) == {RELEASES: "rolled_back"}


def test_the_weights_are_shown_before_any_request_was_observed() -> None:
    weights = [facts.Weight(version=1, weight_bps=9_000), facts.Weight(version=2, weight_bps=1_000)]
    given = Given(version(1), version(2), stepping(weights=weights))
    read = set(readings({"fraud": given.state}, given.environments, given.reports, NOW_MS))
    wanted = "headgate_release_weight_wanted_ratio"
    assert Reading(wanted, ("production", "fraud", "candidate"), 0.1) in read
    assert Reading(wanted, ("production", "fraud", "stable"), 0.9) in read
    assert not any(reading.name == "headgate_release_weight_observed_ratio" for reading in read)
