"""Every datatype of numbers travels through a gateway, and what no datatype allows is refused with its input."""

import grpc
import ml_dtypes
import numpy as np
import pytest

from headgate.artifacts import bfloat16
from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.loading.trial import Trial
from services.gateway.tensors import CONTENTS_FIELDS, NUMPY_TYPES
from tests.gateway import networks
from tests.gateway.harness import running_gateway


@pytest.fixture(scope="module")
def gateway():
    scores = {
        ("floats", 1): networks.scores(),
        ("whole", 1): networks.scores("UINT8"),
        ("brain", 1): networks.scores("BFLOAT16"),
        ("one", 1): networks.scores(rows=1),
    }
    with running_gateway({("all", 1): networks.every_number(), ("mixed", 1): networks.mixed(), **scores}) as running:
        for model in ("all", "mixed", "floats", "whole", "brain", "one"):
            running.serve(model, live=1)
        yield running


def edges(datatype):
    """The lowest and the highest number of the datatype, as bytes."""
    if datatype == "BF16":
        return np.array([-3.3895e38, 3.3895e38], ml_dtypes.bfloat16).tobytes()
    dtype = np.dtype(NUMPY_TYPES[datatype])
    if dtype.kind == "b":
        return np.array([False, True]).tobytes()
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    return np.array([info.min, info.max], dtype).tobytes()


def all_numbers():
    request = inference.ModelInferRequest(model_name="all")
    for name, datatype in networks.NUMBERS.items():
        request.inputs.add(name=name, datatype=datatype, shape=[2])
        request.raw_input_contents.append(edges(datatype))
    return request


def test_the_lowest_and_the_highest_number_of_every_datatype_come_back_unchanged(gateway):
    request = all_numbers()
    response = gateway.infer(request)
    assert [output.datatype for output in response.outputs] == [*networks.NUMBERS.values(), "FP32"]
    assert list(response.raw_output_contents)[:-1] == list(request.raw_input_contents)
    wide = np.frombuffer(response.raw_output_contents[-1], np.float32)
    assert wide.tolist() == np.frombuffer(edges("BF16"), ml_dtypes.bfloat16).astype(np.float32).tolist()
    assert "headgate_bad" not in response.parameters


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_of_bfloat16_that_is_no_finite_number_is_marked_as_bad(gateway, value):
    request = all_numbers()
    request.outputs.add(name="BFLOAT16_out")
    place = list(networks.NUMBERS).index("BFLOAT16")
    request.raw_input_contents[place] = np.array([1, value], ml_dtypes.bfloat16).tobytes()
    assert gateway.infer(request).parameters["headgate_bad"].bool_param


def test_the_metadata_of_a_model_names_every_datatype(gateway):
    metadata = gateway.stub.ModelMetadata(inference.ModelMetadataRequest(name="all"))
    assert [tensor.datatype for tensor in metadata.inputs] == list(networks.NUMBERS.values())
    assert {tuple(tensor.shape) for tensor in metadata.inputs} == {(-1,)}


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_a_datatype_without_typed_contents_is_refused_with_the_way_to_send_it(gateway, datatype):
    inputs = sorted(all_numbers().inputs, key=lambda tensor: tensor.datatype != datatype)
    inputs[0].contents.fp32_contents.extend([0, 1])
    code, message = gateway.refusal(inference.ModelInferRequest(model_name="all", inputs=inputs))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert f"{inputs[0].name!r}: expected {datatype} in raw_input_contents" in message
    assert "no typed contents" in message


def test_empty_typed_contents_beside_raw_ones_count_as_absent_because_mlservers_client_sends_them(gateway):
    request = all_numbers()
    for tensor in request.inputs:
        tensor.contents.SetInParent()
    assert list(gateway.infer(request).raw_output_contents)[:1] == list(request.raw_input_contents)[:1]


def mixed(**changes):
    """A request for the model `mixed` with typed contents."""
    fields = {"i64": [1], "u8": [1], "f64": [1.0], "flag": [True], "text": [b"a"]} | changes
    kinds = {"i64": "INT64", "u8": "UINT8", "f64": "FP64", "flag": "BOOL", "text": "BYTES"}
    request = inference.ModelInferRequest(model_name="mixed")
    for name, values in fields.items():
        tensor = request.inputs.add(name=name, datatype=kinds[name], shape=[1])
        getattr(tensor.contents, CONTENTS_FIELDS[kinds[name]]).extend(values)
    return request


def with_raw(request, entries):
    request.raw_input_contents.extend(entries)
    return request


def with_contents(request, name, field, values):
    tensor = next(each for each in request.inputs if each.name == name)
    getattr(tensor.contents, field).extend(values)
    return request


def with_parameter(request, name, tensor=None, **value):
    (request if tensor is None else tensor(request)).parameters[name].MergeFrom(inference.InferParameter(**value))
    return request


def first_input(request):
    return request.inputs[0]


def an_output(request):
    return request.outputs.add(name="i64_out")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (with_raw(mixed(), [bytes(8)]), ["input 'i64'", "either contents or raw_input_contents, got both"]),
        (with_contents(mixed(i64=[]), "i64", "int_contents", [1]), ["'i64'", "in int64_contents, got int_contents"]),
        (with_contents(mixed(), "u8", "bool_contents", [True]), ["'u8'", "in uint_contents, got bool_contents"]),
        (mixed(u8=[256]), ["input 'u8': expected numbers from 0 to 255 (UINT8), got 256 as element 0"]),
        (with_parameter(mixed(), "routing_key", int64_param=1), ["parameter 'routing_key': expected a string"]),
        (with_parameter(mixed(), "timeout", string_param="1"), ["parameter 'timeout': expected a whole number"]),
        (
            with_parameter(mixed(), "timeout", int64_param=-1),
            ["parameter 'timeout': expected microseconds from 0", "got -1"],
        ),
        (with_parameter(mixed(), "timeout", uint64_param=2**64 - 1), ["parameter 'timeout': expected microseconds"]),
        (with_parameter(mixed(), "priority", int64_param=-1), ["parameter 'priority': expected a priority from 0"]),
        (with_parameter(mixed(), "sequence_id", int64_param=-1), ["parameter 'sequence_id': expected an id from 0"]),
        (with_parameter(mixed(), "sequence_start", int64_param=1), ["'sequence_start': expected true or false"]),
        (
            with_parameter(mixed(), "shared_memory_region", first_input, string_param="r"),
            ["input 'i64': shared memory is not offered", "send and take the bytes"],
        ),
        (
            with_parameter(mixed(), "shared_memory_region", an_output, string_param="r"),
            ["output 'i64_out': shared memory is not offered"],
        ),
        (
            with_parameter(mixed(), "classification", an_output, string_param="2"),
            ["output 'i64_out', parameter 'classification': expected a whole number of classes from 1 up"],
        ),
        (
            with_parameter(mixed(), "classification", an_output, int64_param=0),
            ["'classification': expected a whole number of classes from 1 up"],
        ),
        (
            with_parameter(
                mixed(), "classification", lambda request: request.outputs.add(name="text_out"), int64_param=1
            ),
            ["output 'text_out'", "expected an output of numbers, and it has BYTES"],
        ),
    ],
)
def test_contents_and_parameters_that_do_not_fit_are_refused_with_what_was_expected(gateway, request_, words):
    code, message = gateway.refusal(request_)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [word for word in words if word not in message] == []


def test_a_raw_bool_is_0_or_1_and_parameters_of_others_are_ignored(gateway):
    request = all_numbers()
    with_parameter(request, "batch_hint", string_param="any")
    with_parameter(request, "sequence_id", uint64_param=7)
    gateway.infer(request)
    request.raw_input_contents[0] = b"\1\2"
    assert "input 'BOOL': expected the bytes 0 and 1 of BOOL, got 2" in gateway.refusal(request)[1]


@pytest.mark.parametrize(
    ("model", "datatype", "raw", "answer", "shape"),
    [
        (
            "floats",
            "FP32",
            np.array([[0.1, 0.7, np.nan, 0.7], [4, 3, 2, 1]], np.float32).tobytes(),
            [b"0.700000:1", b"0.700000:3", b"4.000000:0", b"3.000000:1"],
            [2, 2],
        ),
        ("whole", "UINT8", bytes([0, 255, 7, 3]), [b"255:1", b"7:2"], [1, 2]),
        (
            "brain",
            "BF16",
            np.array([1, -1, 2, 0.5], ml_dtypes.bfloat16).tobytes(),
            [b"2.000000:2", b"1.000000:0"],
            [1, 2],
        ),
        ("one", "FP32", np.array([1, 2, 3, 4], np.float32).tobytes(), [b"4.000000:3", b"3.000000:2"], [2]),
    ],
)
def test_the_classification_extension_answers_the_largest_values_with_their_classes(
    gateway, model, datatype, raw, answer, shape
):
    size = 1 if datatype == "UINT8" else 2 if datatype == "BF16" else 4
    request = inference.ModelInferRequest(model_name=model, raw_input_contents=[raw])
    request.inputs.add(name="x", datatype=datatype, shape=[len(raw) // size // 4, 4])
    request.outputs.add(name="y").parameters["classification"].int64_param = 2
    response = gateway.infer(request)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BYTES", shape)
    assert response.raw_output_contents[0] == b"".join(len(text).to_bytes(4, "little") + text for text in answer)


def test_more_classes_than_there_are_answer_all_of_them(gateway):
    request = inference.ModelInferRequest(model_name="one")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
    request.outputs.add(name="y").parameters["classification"].int64_param = 9
    texts = gateway.infer(request).outputs[0].contents.bytes_contents
    assert list(texts) == [b"4.000000:3", b"3.000000:2", b"2.000000:1", b"1.000000:0"]


def test_a_model_of_bfloat16_passes_its_trial():
    trial = Trial()
    try:
        trial(networks.every_number())
    finally:
        trial.close()


def test_bfloat16_is_rounded_to_the_nearest_as_ml_dtypes_rounds_it():
    random = np.random.default_rng(5)
    numbers = (random.normal(size=20_000) * np.exp2(random.integers(-140, 127, 20_000))).astype(np.float32)
    numbers[:4] = np.nan, np.inf, -np.inf, 3.4e38
    expected = numbers.astype(ml_dtypes.bfloat16)
    found = bfloat16.from_float32(numbers)
    assert (found["bfloat16"] == expected.view(np.uint16)).all()
    np.testing.assert_array_equal(bfloat16.to_float32(found), expected.astype(np.float32))
