"""A version that takes long delays its own requests and nobody else's."""

import gc
import threading
import weakref

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.runtime.observability.metrics import Reading
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.forward_queue import MAX_WAITING
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.pace import SLOW_SECONDS
from services.gateway.readings import WAITING, readings
from tests.gateway import networks
from tests.gateway.harness import (
    SOON_SECONDS,
    Gate,
    answer,
    ask_past_deadline,
    canary,
    infer_request,
    running_gateway,
    until,
)
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

ARMS = {telemetry.ARM_STABLE: 0, telemetry.ARM_CANDIDATE: 10_000}
"""Each arm, with the candidate's weight at which it gets all traffic."""
RPC = {"rpc_service": "inference.GRPCInferenceService", "method": "ModelInfer"}


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def gateway(gate):
    """fraud/2 is slow. Everything else is quick."""
    with running_gateway(
        {("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(3.0), ("shop", 1): networks.affine(4.0)},
        {("fraud", 2): gate},
    ) as running:
        running.serve("shop", live=1)
        yield running
        gate.open()


def served_by_the_slow_version(gateway, arm, epoch=1):
    """All requests for fraud go to fraud/2, as this arm of a release."""
    other = {
        telemetry.ARM_STABLE: {"stable": 2, "candidate": 1},
        telemetry.ARM_CANDIDATE: {"stable": 1, "candidate": 2},
    }
    gateway.serve(live=other[arm]["stable"], release=canary(ARMS[arm], epoch=epoch, **other[arm]))


def ask(gateway, model="fraud", timeout=PATIENCE_SECONDS, key="k"):
    return gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]], model=model, key=key), timeout=timeout)


def shown(gateway):
    return parsed(text_of(gateway.metrics))


def not_run(gateway, reason):
    return shown(gateway).total("headgate_predictions_not_run_total", model="fraud", reason=reason)


def left(gateway):
    return not_run(gateway, "cancelled") + not_run(gateway, "deadline")


def waiting(gateway):
    return gateway.follower.table.entries["fraud"].waiting


def counted(gateway, arm):
    counts = gateway.counts()[arm]
    return counts.requests, counts.bad_requests


def test_a_model_that_is_slow_when_it_is_loaded_runs_beside_the_event_loop_and_a_quick_one_on_it():
    loaded = {name: load_onnx(name, 1, network) for name, network in
              (("slow", networks.heavy()), ("quick", networks.affine()))}  # fmt: skip
    size = 2
    assert not loaded["slow"].pace.is_quick(size)
    assert loaded["slow"].pace.average_seconds(size) > 0
    assert loaded["quick"].pace.is_quick(size)


def test_other_models_and_the_other_arm_are_answered_while_a_slow_version_runs(gateway, gate):
    gateway.serve(live=1, release=canary(5_000, epoch=1))
    keys = [f"k{n}" for n in range(40)]
    calls = [ask(gateway, key=key) for key in keys]
    gate.await_entered()
    for _ in range(10):
        assert gateway.infer(infer_request([[1, 1, 1]], model="shop")).model_version == "1"
    until(lambda: waiting(gateway) + 1 + sum(call.done() for call in calls) == len(calls), "stable's answers")
    assert {call.result().model_version for call in calls if call.done()} == {"1"}
    gate.open()
    assert {call.result(PATIENCE_SECONDS).model_version for call in calls} == {"1", "2"}


def test_a_request_of_a_size_never_measured_delays_nobody(gateway, gate):
    gateway.serve(live=2)
    call = ask(gateway)
    gate.await_entered()
    assert gateway.infer(infer_request([[1, 1, 1]] * 1_000, model="shop")).model_version == "1"
    gate.open()
    call.result(PATIENCE_SECONDS)


def test_beyond_the_limit_a_request_is_refused_with_the_cause_while_the_other_model_answers(gateway, gate):
    gateway.serve(live=2)
    running = ask(gateway)
    gate.await_entered()
    calls = [ask(gateway) for _ in range(MAX_WAITING)]
    until(lambda: waiting(gateway) == MAX_WAITING, "a full queue")
    with pytest.raises(grpc.RpcError) as refused:
        gateway.infer(infer_request([[1, 1, 1]]))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for words in ("fraud version 2 is slow", f"At most {MAX_WAITING} requests wait", "Send fewer requests at once"):
        assert words in refused.value.details()
    reason = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(refused.value).details[0].Unpack(reason)
    assert reason.reason == "queue-full"
    assert gateway.infer(infer_request([[1, 1, 1]], model="shop")).model_version == "1"
    assert not_run(gateway, "queue-full") == 1
    assert Reading(WAITING, ("fraud",), MAX_WAITING) in readings(gateway.follower.table, 0.0, gateway.follower.memory())
    assert counted(gateway, telemetry.ARM_STABLE) == (0, 0)
    gate.open()
    assert {call.result(PATIENCE_SECONDS).model_version for call in [running, *calls]} == {"2"}
    assert counted(gateway, telemetry.ARM_STABLE) == (MAX_WAITING + 1, 0)
    assert WAITING not in {reading.name for reading in readings(gateway.follower.table, 0.0, gateway.follower.memory())}


@pytest.mark.parametrize("arm", ARMS)
def test_a_call_cancelled_while_its_version_runs_counts_as_bad_for_that_arm(gateway, gate, arm):
    served_by_the_slow_version(gateway, arm)
    call = ask(gateway)
    gate.await_entered()
    call.cancel()
    until(lambda: counted(gateway, arm) == (1, 1), "the bad answer")
    gate.open()
    gateway.infer(infer_request([[1, 1, 1]], key="later"))
    assert gateway.counts()[arm].late_requests == 1
    assert counted(gateway, arm) == (2, 1), "the end of the cancelled forward is not counted again"
    assert shown(gateway).value("headgate_rpc_requests_total", **RPC, code="CANCELLED") == 1


@pytest.mark.parametrize("arm", ARMS)
def test_a_call_whose_deadline_passes_while_its_version_runs_counts_as_bad_for_that_arm(gateway, gate, arm):
    served_by_the_slow_version(gateway, arm)
    call = ask_past_deadline(gateway, infer_request([[1, 1, 1]], key="k"), gate)
    assert call.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: counted(gateway, arm) == (1, 1), "the bad answer")


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("reason", ["cancelled", "deadline"])
def test_a_call_that_ends_while_it_waits_counts_for_no_arm_and_its_version_never_runs(gateway, gate, arm, reason):
    served_by_the_slow_version(gateway, arm)
    running = ask(gateway)
    gate.await_entered()
    if reason == "cancelled":
        call = ask(gateway)
        until(lambda: waiting(gateway) == 1, "the second request")
        call.cancel()
        until(lambda: left(gateway) == 1, "the end of the wait")
    else:
        seconds = SOON_SECONDS
        while not left(gateway):  # on a busy machine a short deadline passes before the call arrives
            assert seconds < PATIENCE_SECONDS
            ask(gateway, timeout=seconds).exception()
            seconds *= 2
    until(lambda: waiting(gateway) == 0, "the end of all waits")
    assert counted(gateway, arm) == (0, 0)
    gate.open()
    running.result(PATIENCE_SECONDS)
    assert counted(gateway, arm) == (1, 0)
    assert gate.entered == 1


def test_a_version_that_is_no_longer_wanted_answers_what_it_runs_and_what_waits_and_is_freed_then(gateway, gate):
    gateway.serve(live=2)
    session = weakref.ref(gateway.follower.table.entries["fraud"].versions[2].session)
    calls = [ask(gateway), ask(gateway)]
    gate.await_entered()
    until(lambda: waiting(gateway) == 1, "the second request")
    gateway.serve(live=1)
    assert gateway.infer(infer_request([[1, 1, 1]])).model_version == "1"
    assert session() is not None
    gate.open()
    assert {call.result(PATIENCE_SECONDS).model_version for call in calls} == {"2"}
    until(lambda: gc.collect() is not None and session() is None, "the session to be freed")


ENDLESS = 1e12
"""So many turns of a loop take days."""


def test_a_model_with_a_loop_runs_beside_the_event_loop_because_its_values_say_how_long_it_takes():
    loaded = load_onnx("loop", 1, networks.counting())
    assert 0 < loaded.pace.average_seconds(2) < SLOW_SECONDS
    assert not loaded.pace.is_quick(2)


def test_a_forward_that_nobody_waits_for_ends_and_the_next_request_runs(gate):
    gate.open()
    with running_gateway({("fraud", 1): networks.counting()}, {("fraud", 1): gate}) as gateway:
        gateway.serve(live=1)
        endless = gateway.stub.ModelInfer.future(infer_request([[1, 1, ENDLESS]]), timeout=PATIENCE_SECONDS)
        gate.await_entered()
        following = ask(gateway)
        until(lambda: waiting(gateway) == 1, "the second request")
        endless.cancel()
        assert answer(following.result(PATIENCE_SECONDS)).tolist() == [[1, 1, 1]]
        assert counted(gateway, telemetry.ARM_STABLE) == (2, 1)


def stopping(gateway, grace_seconds):
    thread = threading.Thread(target=gateway.stop, args=(grace_seconds,))
    thread.start()
    return thread


def test_a_stopping_gateway_answers_what_runs_and_what_waits_within_its_grace(gate):
    with running_gateway({("fraud", 2): networks.affine(3.0)}, {("fraud", 2): gate}) as gateway:
        gateway.serve(live=2)
        calls = [ask(gateway), ask(gateway)]
        gate.await_entered()
        until(lambda: waiting(gateway) == 1, "the second request")
        thread = stopping(gateway, PATIENCE_SECONDS)
        gate.open()
        assert {call.result(PATIENCE_SECONDS).model_version for call in calls} == {"2"}
        thread.join()
        assert counted(gateway, telemetry.ARM_STABLE) == (2, 0)


def test_at_the_end_of_the_grace_the_gateway_gives_up_and_no_version_is_blamed(gate):
    with running_gateway({("fraud", 2): networks.affine(3.0)}, {("fraud", 2): gate}) as gateway:
        gateway.serve(live=2)
        call = ask(gateway)
        gate.await_entered()
        stopping(gateway, grace_seconds=0.1).join()
        assert call.exception(PATIENCE_SECONDS) is not None
        assert counted(gateway, telemetry.ARM_STABLE) == (0, 0)
