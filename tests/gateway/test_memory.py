"""No request makes the kernel end the gateway for want of memory."""

import grpc
import pytest

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.memory import SHARE, bytes_for_forwards, least, out_of_memory
from tests.gateway import networks
from tests.gateway.harness import infer_request, running_gateway

GIB = 2**30
ROWS = 1_000_000
"""So many rows square to 4 PB."""


@pytest.mark.parametrize(
    ("physical", "limits", "expected"),
    [
        (8 * GIB, [], 8 * GIB),
        (8 * GIB, ["max", ""], 8 * GIB),
        (8 * GIB, [str(2 * GIB), ""], 2 * GIB),
        (8 * GIB, ["", "9223372036854771712"], 8 * GIB),
        (8 * GIB, ["0"], 8 * GIB),
    ],
)
def test_the_memory_is_what_the_container_may_have_or_the_machine_has(physical, limits, expected):
    assert least(physical, limits) == expected


def test_forwards_get_a_share_of_this_machines_memory():
    assert 0 < bytes_for_forwards() <= 2**50 * SHARE


def test_another_failure_is_no_want_of_memory():
    assert out_of_memory(ValueError("Available memory")) == ""


def test_a_request_that_needs_too_much_memory_is_refused_and_the_gateway_goes_on():
    with running_gateway({("fraud", 1): networks.squaring(), ("shop", 1): networks.affine()}) as gateway:
        gateway.serve(live=1)
        gateway.serve("shop", live=1)
        code, message = gateway.refusal(infer_request([[1]] * ROWS))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "fraud version 1 needs 3,814,697,266 MiB at once for this request" in message
        assert "send fewer rows at once" in message
        assert gateway.infer(infer_request([[1], [1]])).model_version == "1"
        assert gateway.infer(infer_request([[1, 1, 1]], model="shop")).model_version == "1"
        counts = gateway.counts()[telemetry.ARM_STABLE]
        assert (counts.requests, counts.bad_requests) == (2, 1)
