"""An input that graphs reject for its values or sizes is the caller's error where both versions reject it."""

import grpc
import numpy as np
import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway import second_opinion
from tests.gateway import networks
from tests.gateway.harness import Gate, canary, running_gateway, until

KINDS = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}


def request(model, key="a", **arrays):
    made = inference.ModelInferRequest(model_name=model)
    made.parameters["routing_key"].string_param = key
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            texts = [text.encode() for text in array.tolist()]
            made.inputs.add(name=name, datatype="BYTES", shape=array.shape).contents.bytes_contents.extend(texts)
            raw = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
            made.inputs[-1].ClearField("contents")
            made.raw_input_contents.append(raw)
        else:
            made.inputs.add(name=name, datatype=KINDS[array.dtype], shape=array.shape)
            made.raw_input_contents.append(array.tobytes())
    return made


def ones(*shape):
    return np.ones(shape, np.float32)


# Of each kind: a model whose versions reject the same, a request that both reject, one that only version 3 rejects,
# and words of the refusal.
REJECTED = {
    "gather": (
        networks.embedding(5),
        networks.embedding(2),
        {"code": np.array([1, 7])},
        {"code": np.array([4])},
        ["input 'code': the model knows no category 7", "from 0 to 4"],
    ),
    "reshape": (
        networks.reshaping(2),
        networks.reshaping(5),
        {"x": ones(1, 3)},
        {"x": ones(2, 3)},
        ["operator Reshape", "requested shape:{-1,2}", "got 'x' of shape [1, 3]"],
    ),
    "matmul": (
        networks.product(),
        networks.product(columns=1),
        {"a": ones(2, 3), "b": ones(4, 2)},
        {"a": ones(2, 3), "b": ones(3, 2)},
        ["operator MatMul", "dimension mismatch", "got 'a' of shape [2, 3], 'b' of shape [4, 2]"],
    ),
    "tokenizer": (
        networks.tokenizer(),
        networks.tokenizer(texts=1),
        {"text": np.array(["good", "good", "bad"])},
        {"text": np.array(["good", "good"])},
        ["operator BertTokenizer", "only support one or two", "got 'text' of shape [3]"],
    ),
}


@pytest.fixture(scope="module")
def gates():
    return {("slow", 1): Gate(), ("slow", 2): Gate()}


@pytest.fixture(scope="module")
def gateway(gates):
    versions = {}
    for model, (right, narrow, *_) in REJECTED.items():
        versions |= {(model, 1): right, (model, 2): right, (model, 3): narrow}
    versions |= {("slow", 1): networks.reshaping(2), ("slow", 2): networks.reshaping(2)}
    with running_gateway(versions, gates) as running:
        yield running


def counts(gateway, model):
    return {arm: (each.requests, each.bad_requests) for arm, each in gateway.counts(model).items()}


@pytest.mark.parametrize("model", REJECTED)
@pytest.mark.parametrize("bps", [0, 10_000])
def test_what_both_versions_reject_is_refused_with_its_reason_and_counts_for_neither(gateway, model, bps):
    *_, wrong, _, words = REJECTED[model]
    gateway.serve(model, live=1, release=canary(bps, epoch=1 + bps))
    code, message = gateway.refusal(request(model, **wrong))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [word for word in words if word not in message] == []
    assert {arm for arm, seen in counts(gateway, model).items() if seen != (0, 0)} == set()


@pytest.mark.parametrize("model", REJECTED)
def test_what_only_the_candidate_rejects_is_the_candidates_bad_answer(gateway, model):
    *_, right, _ = REJECTED[model]
    gateway.serve(model, live=1, release=canary(10_000, epoch=2, candidate=3))
    gateway.refusal(request(model, **right))
    assert counts(gateway, model)[telemetry.ARM_CANDIDATE] == (1, 1)


@pytest.mark.parametrize("model", REJECTED)
def test_what_only_stable_rejects_is_stables_bad_answer(gateway, model):
    *_, right, _ = REJECTED[model]
    gateway.serve(model, live=3, release=canary(0, epoch=3, stable=3, candidate=1))
    gateway.refusal(request(model, **right))
    assert counts(gateway, model)[telemetry.ARM_STABLE] == (1, 1)


@pytest.mark.parametrize("model", REJECTED)
def test_a_live_version_alone_refuses_what_its_graph_rejects_as_the_callers_error(gateway, model):
    *_, wrong, right, _ = REJECTED[model]
    gateway.serve(model, live=1)
    assert gateway.refusal(request(model, **wrong))[0] == grpc.StatusCode.INVALID_ARGUMENT
    gateway.infer(request(model, **right))
    assert counts(gateway, model)[telemetry.ARM_STABLE] == (1, 0)


def test_a_first_release_has_nobody_to_excuse_it(gateway):
    gateway.serve("reshape", release=canary(10_000, epoch=4, stable=0, candidate=1))
    code, message = gateway.refusal(request("reshape", x=ones(1, 3)))
    assert (code, message) == (grpc.StatusCode.INTERNAL, "reshape version 1 failed with Fail")
    assert counts(gateway, "reshape")[telemetry.ARM_CANDIDATE] == (1, 1)


def test_many_wrong_requests_take_few_places_of_the_other_version(gateway, gates):
    gateway.serve("slow", live=1, release=canary(10_000, epoch=5))
    gates["slow", 2].open()
    waiting = [
        gateway.stub.ModelInfer.future(request("slow", key=f"k{n}", x=ones(1, 3)), timeout=60) for n in range(12)
    ]
    gates["slow", 1].await_entered()
    # Those that stable is not asked about are answered while it is busy.
    until(lambda: sum(call.done() for call in waiting) == len(waiting) - second_opinion.MAX_ASKED)
    gates["slow", 1].open()
    assert {call.code() for call in waiting} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert counts(gateway, "slow")[telemetry.ARM_CANDIDATE] == (0, 0)
