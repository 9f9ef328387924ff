"""Requests that wait together for a slow version run as one forward, and none of them notices the others."""

import json
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.artifacts.rows_apart import record, shown_in
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.batching import MIN_SECONDS, Batching, run_together
from services.gateway.forward import prepared
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.pace import size_class
from services.gateway.request import request_of
from services.gateway.routes import Route
from services.gateway.routing import Routing
from services.gateway.sessions import Interruption
from tests.bench.batching_models import CLASSES, FEATURES, wide
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, infer_request, running_gateway, until
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

SLOW_SECONDS = 0.01


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def slow_gateway(gate, network, rows_apart=True):
    return running_gateway({("fraud", 1): network}, {("fraud", 1): gate}, rows_apart=rows_apart)


def served(gateway):
    """The version is known to be slow at any size."""
    gateway.serve(live=1)
    version = gateway.follower.table.entries["fraud"].versions[1]
    for size in range(1, 8):
        version.pace.observe(size, SLOW_SECONDS)


def ask(gateway, request, timeout=PATIENCE_SECONDS):
    return gateway.stub.ModelInfer.future(request, timeout=timeout)


def waiting_behind(gateway, gate, requests):
    """The calls of these requests, which all wait behind one that runs."""
    running = ask(gateway, infer_request([[0, 0, 0]]))
    gate.await_entered()
    calls = [ask(gateway, request) for request in requests]
    until(lambda: gateway.follower.table.entries["fraud"].waiting == len(calls), "all requests")
    return running, calls


def batches(gateway):
    return parsed(text_of(gateway.metrics)).value("headgate_prediction_batch_requests_count")


def test_requests_that_wait_together_run_as_one_forward_and_each_gets_its_own_rows(gate):
    with slow_gateway(gate, networks.affine(2.0)) as gateway:
        served(gateway)
        requests = [infer_request([[n, n, n]] * (n % 3 + 1), id=str(n)) for n in range(10)]
        running, calls = waiting_behind(gateway, gate, requests)
        gate.open()
        answers = [call.result(PATIENCE_SECONDS) for call in calls]
        assert [each.id for each in answers] == [str(n) for n in range(10)]
        assert [answer(each).tolist() for each in answers] == [[[2.0 * n] * 3] * (n % 3 + 1) for n in range(10)]
        assert gate.entered == 2, "one forward for the first, and one for all others"
        assert batches(gateway) == 1
        running.result(PATIENCE_SECONDS)
        assert gateway.counts()[telemetry.ARM_STABLE].requests == 11


def test_a_version_that_has_not_shown_that_rows_do_not_meet_runs_each_request_alone(gate):
    with slow_gateway(gate, networks.affine(2.0), rows_apart=False) as gateway:
        served(gateway)
        _, calls = waiting_behind(gateway, gate, [infer_request([[n, n, n]]) for n in range(3)])
        gate.open()
        assert [answer(call.result(PATIENCE_SECONDS))[0][0] for call in calls] == [0.0, 2.0, 4.0]
        assert gate.entered == 4


def test_a_request_whose_tensors_are_wrong_is_refused_and_those_beside_it_are_answered(gate):
    with slow_gateway(gate, networks.affine(2.0)) as gateway:
        served(gateway)
        wrong = infer_request([[1, 1, 1]])
        wrong.raw_input_contents[0] = b"1234"
        _, (right, refused) = waiting_behind(gateway, gate, [infer_request([[1, 1, 1]]), wrong])
        gate.open()
        assert answer(right.result(PATIENCE_SECONDS)).tolist() == [[2, 2, 2]]
        assert refused.exception(PATIENCE_SECONDS).code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "expected 12 bytes" in refused.exception().details()


def code_request(*codes):
    values = np.array(codes, np.int64)
    request = inference.ModelInferRequest(model_name="fraud", raw_input_contents=[values.tobytes()])
    request.inputs.add(name="code", datatype="INT64", shape=values.shape)
    return request


def test_a_request_that_the_model_rejects_fails_alone(gate):
    with slow_gateway(gate, networks.embedding(rows=3)) as gateway:
        served(gateway)
        running = ask(gateway, code_request(0))
        gate.await_entered()
        calls = [ask(gateway, code_request(*codes)) for codes in ((1,), (7,), (2, 2))]
        until(lambda: gateway.follower.table.entries["fraud"].waiting == 3, "all requests")
        gate.open()
        assert [len(answer(call.result(PATIENCE_SECONDS))) for call in (running, calls[0], calls[2])] == [1, 1, 2]
        assert calls[1].exception(PATIENCE_SECONDS).code() == grpc.StatusCode.INVALID_ARGUMENT
        counted = gateway.counts()[telemetry.ARM_STABLE]
        assert (counted.requests, counted.bad_requests) == (3, 0)


def test_an_answer_that_is_not_a_number_is_bad_for_its_own_caller_alone(gate):
    with slow_gateway(gate, networks.root()) as gateway:
        served(gateway)
        running, calls = waiting_behind(gateway, gate, [infer_request([[4, 4, 4]]), infer_request([[-1, 4, 4]])])
        gate.open()
        assert answer(calls[0].result(PATIENCE_SECONDS)).tolist() == [[2, 2, 2]]
        assert np.isnan(answer(calls[1].result(PATIENCE_SECONDS))[0][0])
        running.result(PATIENCE_SECONDS)
        counted = gateway.counts()[telemetry.ARM_STABLE]
        assert (counted.requests, counted.bad_requests) == (3, 1)


class SecondGate(Gate):
    """Open for the first forward, and closed for the second one until it is opened."""

    def __init__(self):
        super().__init__()
        self.first = Gate()

    def enter(self):
        if not self.first.entered:
            self.first.enter()
        else:
            super().enter()


def test_a_caller_that_gives_up_while_a_batch_runs_takes_no_answer_from_the_others():
    gate = SecondGate()
    with slow_gateway(gate, networks.affine(2.0)) as gateway:
        served(gateway)
        running = ask(gateway, infer_request([[0, 0, 0]]))
        gate.first.await_entered()
        calls = [ask(gateway, infer_request([[n, n, n]])) for n in range(3)]
        until(lambda: gateway.follower.table.entries["fraud"].waiting == 3, "all requests")
        gate.first.open()
        gate.await_entered()
        calls[1].cancel()
        until(lambda: gateway.counts()[telemetry.ARM_STABLE].bad_requests == 1, "the cancelled call")
        gate.open()
        assert [answer(calls[n].result(PATIENCE_SECONDS))[0][0] for n in (0, 2)] == [0.0, 4.0]
        running.result(PATIENCE_SECONDS)
        counted = gateway.counts()[telemetry.ARM_STABLE]
        assert (counted.requests, counted.bad_requests) == (4, 1)


def routed(version):
    """The routing of a request for this version."""
    return Routing(SimpleNamespace(route=Route("fraud")), version, telemetry.ARM_STABLE, 0, False, None)


@pytest.fixture(scope="module")
def parts():
    """Makes the requests of one slow version parts of a batch."""
    version = load_onnx("fraud", 1, wide(), rows_apart=True)
    routing = routed(version)
    batching = Batching(True, lambda _: None)
    return lambda arrays: [
        batching.part_of(prepared(request_of(infer_request(each)), routing), seconds=MIN_SECONDS) for each in arrays
    ]


@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_each_answer_of_a_batch_is_that_of_the_request_alone_up_to_rounding(parts, counts, seed):
    chance = np.random.default_rng(seed)
    joined = parts([chance.standard_normal((count, FEATURES)).astype(np.float32) for count in counts])
    for part, found in zip(joined, run_together(joined, Interruption()), strict=True):
        alone = answer(part.forward.run().message())
        assert answer(found.message()).shape == (part.rows, CLASSES)
        np.testing.assert_allclose(answer(found.message()), alone, rtol=1e-4, atol=1e-5)


def test_a_quick_request_and_one_of_a_version_without_the_proof_are_no_parts_of_a_batch(parts):
    (part,) = parts([np.zeros((1, FEATURES), np.float32)])
    batching, forward = Batching(True, lambda _: None), part.forward
    assert batching.part_of(forward, MIN_SECONDS / 2) is None
    assert Batching(False, lambda _: None).part_of(forward, 1.0) is None
    plain = load_onnx("fraud", 1, networks.affine())
    assert batching.part_of(prepared(request_of(infer_request([[1, 1, 1]])), routed(plain)), 1.0) is None


def test_a_version_with_a_fixed_number_of_rows_or_steps_first_is_never_batched():
    assert load_onnx("fraud", 1, networks.affine(), rows_apart=True).answers_rows_apart
    assert not load_onnx("fraud", 1, networks.scores(rows=1), rows_apart=True).answers_rows_apart
    assert load_onnx("fraud", 1, networks.affine(), rows_apart=True).pace.is_quick(size_class(3))


@pytest.mark.parametrize(
    "training",
    [b"", b"[]", b"{}", b'{"rows_apart": 3}', b'{"rows_apart": {"rows": 1}}', b'{"rows_apart": {"rows": "8"}}'],
)
def test_only_the_record_of_two_rows_or_more_shows_that_rows_do_not_meet(training):
    assert not shown_in(training)


def test_the_trainers_record_is_read_by_the_gateway():
    assert shown_in(json.dumps(record(8, (1, 4, 8), 1e-4, 1e-5)).encode())
