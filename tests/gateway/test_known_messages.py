"""A message that is known by its beginning is read as if nothing were known."""

from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.forward import prepared
from services.gateway.known_messages import MAX_KNOWN, MAX_SIGNATURE_BYTES, KnownMessages
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.request import Request
from services.gateway.routes import Route
from services.gateway.routing import Routing
from services.gateway.tensors import InvalidInput
from tests.gateway import networks
from tests.gateway.harness import infer_request

VALUES = st.lists(st.binary(max_size=200), max_size=3)
IDS = st.text(max_size=200)


def request(raw=(), model="fraud", **fields):
    tensors = [{"name": f"x{n}", "datatype": "FP32", "shape": [1, n]} for n in range(len(raw))]
    return inference.ModelInferRequest(model_name=model, inputs=tensors, raw_input_contents=raw, **fields)


def whole(read: Request) -> inference.ModelInferRequest:
    """The message of a request."""
    message = inference.ModelInferRequest()
    message.CopyFrom(read.signature.message)
    message.id = read.id
    message.ClearField("raw_input_contents")
    message.raw_input_contents.extend(read.raw)
    return message


@given(st.lists(st.tuples(VALUES, IDS), min_size=1, max_size=8), st.data())
def test_every_message_is_read_as_protobuf_reads_it(sent, data):
    known, made = KnownMessages(), [request(raw, id=id_).SerializeToString() for raw, id_ in sent]
    for message in made * 2:
        assert whole(known.request(message)) == inference.ModelInferRequest.FromString(message)
    at = data.draw(st.integers(0, len(made[0]) - 1))
    changed = made[0][:at] + data.draw(st.binary(max_size=3)) + made[0][at + 1 :]
    try:
        expected = inference.ModelInferRequest.FromString(changed)
    except DecodeError:
        with pytest.raises(DecodeError):
            known.request(changed)
    else:
        assert whole(known.request(changed)) == expected


def test_requests_that_differ_only_in_their_values_and_ids_share_a_signature():
    known = KnownMessages()
    known.request(infer_request([[1, 2, 3]]).SerializeToString())
    first, second = (known.request(infer_request([[n, n, n]], id="r" * n).SerializeToString()) for n in range(2))
    assert first.signature is second.signature
    assert [np.frombuffer(each.raw[0], np.float32)[0] for each in (first, second)] == [0, 1]
    assert (first.id, second.id) == ("", "r")


@pytest.mark.parametrize("fields", [{"key": "k"}, {"model": "m" * MAX_SIGNATURE_BYTES}], ids=["parameter", "long"])
def test_what_is_hardly_repeated_or_too_long_is_not_remembered(fields):
    known, message = KnownMessages(), infer_request([[1, 2, 3]], **fields).SerializeToString()
    first, second = known.request(message), known.request(message)
    assert not first.signature.is_shared
    assert first.signature is not second.signature


def test_a_caller_of_ever_new_signatures_takes_no_more_memory():
    known = KnownMessages()
    for n in range(2 * MAX_KNOWN):
        known.request(infer_request([[1.0] * n]).SerializeToString())
    assert len(known._known) <= MAX_KNOWN
    assert len(known._lengths) <= MAX_KNOWN


def test_an_id_that_is_no_text_is_refused_beside_a_known_signature():
    known = KnownMessages()
    known.request(infer_request([[1, 2, 3]], id="ab").SerializeToString())
    with pytest.raises(DecodeError):
        known.request(infer_request([[1, 2, 3]], id="ab").SerializeToString().replace(b"\x02ab", b"\x02\xff\xfe"))


def test_a_known_signature_is_checked_against_each_version_and_again_when_one_is_loaded_again():
    known, message = KnownMessages(), infer_request([[1, 2, 3]]).SerializeToString()
    known.request(message)

    def prepare(number, width):
        version = load_onnx("fraud", number, networks.affine(width=width))
        entry = SimpleNamespace(route=Route("fraud"))
        return prepared(known.request(message), Routing(entry, version, telemetry.ARM_STABLE, 0, False, None))

    assert prepare(1, width=3).fit.inputs.elements == 3
    for number in (2, 1):
        with pytest.raises(InvalidInput, match=r"expected shape \[-1, 4\]"):
            prepare(number, width=4)
    assert prepare(1, width=3).fit.inputs.elements == 3
