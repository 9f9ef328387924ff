"""The bytes of an answer are those of its message, whatever was answered to the same signature before."""

from types import SimpleNamespace

import numpy as np
import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.encoded_answer import encoded
from services.gateway.forward import MAX_HEADS, prepared
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.request import Request, Signature
from services.gateway.routes import Route
from services.gateway.routing import Routing
from tests.gateway import networks
from tests.gateway.harness import infer_request


@pytest.fixture(scope="module")
def version():
    return load_onnx("fraud", 1, networks.affine())


def asked(values, version, arm=telemetry.ARM_STABLE, release=0, signature=None):
    values = np.array(values, np.float32)
    signature = signature or Signature(infer_request(values), is_shared=True)
    entry = SimpleNamespace(route=Route("fraud", release=release))
    routing = Routing(entry, version, arm, 0, False, None)
    return prepared(Request(signature, [values.tobytes()]), routing)


def same(answer):
    return inference.ModelInferResponse.FromString(encoded(answer)) == answer.message()


def test_answers_to_one_signature_differ_in_arm_release_values_id_and_whether_they_are_finite(version):
    shared = asked([[1, 2, 3]], version).request.signature
    for arm in (telemetry.ARM_STABLE, telemetry.ARM_CANDIDATE, telemetry.ARM_STABLE):
        for release in (3, 4):
            for values in ([[1, 2, 3]], [[4, 5, 6]]):
                answer = asked(values, version, arm, release, shared).run()
                assert same(answer)
                assert same(answer._replace(finite=False))
                named = answer.forward._replace(request=answer.forward.request._replace(id="r-1"))
                assert same(answer._replace(forward=named))


def test_an_answer_may_have_another_shape_each_time(version):
    forward = asked([[1, 2, 3]], version)
    for rows in range(1, 2 * MAX_HEADS):
        assert same(forward.answer([np.ones((rows, 3), np.float32)]))
    assert len(forward.fit.heads) <= MAX_HEADS


def test_texts_of_another_length_each_time_are_written_with_their_lengths():
    message = inference.ModelInferRequest(model_name="fraud")
    message.inputs.add(name="text", datatype="BYTES", shape=[1])
    routing = Routing(SimpleNamespace(route=Route("fraud")), load_onnx("fraud", 1, networks.words()), 1, 0, False, None)
    signature = Signature(message, is_shared=True)
    for text in (b"a", b"abc", b""):
        forward = prepared(Request(signature, [len(text).to_bytes(4, "little") + text]), routing)
        assert same(forward.run())
