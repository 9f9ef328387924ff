from typing import Any

import pytest

from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from tests.deployer.reports import evidence, status
from tests.deployer.test_pilot import FINE, GOOD, Given, baking, release, stepping

SHARED = [facts.Weight(version=1, weight_bps=9_500), facts.Weight(version=2, weight_bps=500)]
STABLE = [facts.Weight(version=1, weight_bps=10_000)]
PAUSED: dict[str, Any] = {"paused": True, "paused_reason": "lunch"}


def paused_step(step: int = 0, **fields: Any) -> resources.Release:
    return stepping(step, **({"weights": SHARED} | PAUSED | fields))


@pytest.mark.parametrize(
    ("paused", "reports", "present"),
    [
        (paused_step(), [], "no gateway is live now"),
        (paused_step(), [status(epoch=7)], "now 0 of 300 candidate keys"),
        (paused_step(), [evidence(*GOOD)], "now 2000 of 300 candidate keys"),
        (paused_step(weights=STABLE), [evidence(*GOOD)], "until then the candidate gets 0 % of the traffic"),
        (release(phase=resources.PHASE_PREPARING, **PAUSED), [], "no gateway is live now"),
        (release(phase=resources.PHASE_PREPARING, **PAUSED), [status()], "now gateway-0 must still load v2"),
        (
            release(phase=resources.PHASE_PREPARING, **PAUSED),
            [status("gateway-0", [2])],
            "now every live gateway has loaded v2",
        ),
        (baking(60, **PAUSED), [status(epoch=9)], "now the candidate has no request yet"),
        (baking(60, **PAUSED), [FINE], "now the candidate has requests"),
    ],
)
def test_a_paused_release_says_what_holds_now_beside_the_reason_of_its_pause(
    paused: resources.Release, reports: list[telemetry.TelemetryRecord], present: str
):
    assert Given(paused).reported(*reports).waits_for() == f"someone to resume it ({present}): lunch"


def test_a_pause_in_the_last_step_names_the_verdict_of_now():
    half = [facts.Weight(version=1, weight_bps=5_000), facts.Weight(version=2, weight_bps=5_000)]
    given = Given(paused_step(2, weights=half)).reported(evidence(*GOOD, weight=5_000))
    assert given.waits_for() == "someone to resume it (now 2000 of 1000 candidate keys, verdict pass): lunch"


def test_a_release_that_paused_for_want_of_callers_stays_paused_when_they_come():
    Given(paused_step(paused_reason="no data")).reported(evidence(*GOOD)).then()
