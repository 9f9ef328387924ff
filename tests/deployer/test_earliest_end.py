"""When a release completes at the earliest, and for which release another one waits."""

from collections.abc import Sequence

import pytest

from headgate.domain.policy import resolve
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.deployer.earliest_end import earliest_end_ms
from services.deployer.evidence import GatewayReports
from services.deployer.observation import observe
from tests.deployer.test_pilot import FROZEN, MINUTE_MS, NOW_MS, Given, baking, release, stepping, version

POLICY = resolve(None)
STEPS_MS = [step.min_duration_ms for step in POLICY.steps]
FREEZE_END_MS = FROZEN.environment.freezes[0].until_ms


def earliest(given: Given, found: resources.Release) -> int:
    return earliest_end_ms(observe(given.state, found, given.environments, GatewayReports(), NOW_MS))


@pytest.mark.parametrize(
    ("found", "begins_ms", "steps_ms"),
    [
        (release(phase=resources.PHASE_PREPARING), NOW_MS, STEPS_MS),
        (release(phase=resources.PHASE_PREPARING, strategy=configuration.STRATEGY_DIRECT), NOW_MS, []),
        (stepping(minutes=1), NOW_MS - MINUTE_MS, STEPS_MS),
        (stepping(applied_at_ms=0), NOW_MS, STEPS_MS),
        (stepping(step=len(STEPS_MS) - 1, minutes=0), NOW_MS, STEPS_MS[-1:]),
        (stepping(step=len(STEPS_MS) - 1, minutes=24 * 60), NOW_MS, []),
        (release(phase=resources.PHASE_PROMOTING), NOW_MS, []),
        (baking(1), NOW_MS - MINUTE_MS, []),
    ],
)
def test_a_release_ends_at_the_earliest_after_the_shortest_time_of_its_steps_and_its_bake(
    found: resources.Release, begins_ms: int, steps_ms: Sequence[int]
):
    assert earliest(Given(found), found) == begins_ms + sum(steps_ms) + POLICY.bake_ms


@pytest.mark.parametrize(
    "found",
    [
        release(phase=resources.PHASE_REQUESTED),
        release(phase=resources.PHASE_ROLLING_BACK),
        stepping(paused=True),
    ],
)
def test_nobody_knows_the_end_of_a_release_that_has_not_begun_is_paused_or_goes_back(found: resources.Release):
    assert earliest(Given(found), found) == 0


def test_a_first_version_needs_no_steps_and_no_bake_and_a_freeze_holds_it_until_it_is_over():
    first = release(phase=resources.PHASE_PREPARING, stable=0)
    assert earliest(Given(first, live=0), first) == NOW_MS
    assert earliest(Given(first, live=0).frozen(), first) == FREEZE_END_MS
    assert earliest(Given(first, live=0).frozen(), baking(1)) == NOW_MS - MINUTE_MS + POLICY.bake_ms


def test_who_waits_for_another_release_names_it():
    requested = release(2, phase=resources.PHASE_REQUESTED)
    given = Given(baking(1), requested)
    assert (given.wait().ahead, Given(requested).frozen().wait().ahead) == (1, 0)
    preparing = release(phase=resources.PHASE_PREPARING, candidate=1, stable=0)
    (line,) = Given(version(1), version(2), preparing, live=0).versions_in_line()
    assert line.ahead == 1
