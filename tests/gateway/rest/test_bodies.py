"""The JSON and binary forms of the Open Inference Protocol: what is read, what is refused, and what is written."""

import json
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.forward import Answer, Fit, Forward
from services.gateway.request import Request, Signature
from services.gateway.rest.answer_body import write_answer
from services.gateway.rest.request_body import MAX_KNOWN, OutputForms, RequestBodies
from services.gateway.routes import Route
from services.gateway.routing import Routing
from services.gateway.tensors import NUMPY_TYPES, DeclaredInputs, InvalidInput, TensorSpec
from tests.gateway.test_known_messages import whole

JSON_ONLY = OutputForms(default=False, by_name={})
BINARY = OutputForms(default=True, by_name={})


def read(body, binary=b""):
    """The request as a message, and the forms of its outputs."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    request, forms = RequestBodies().read("fraud", "", text + binary, len(text) if binary else None)
    return whole(request), forms


def answer(datatype, array, finite=True, **fields):
    """An answer of a stable version with one output."""
    request = Request(Signature(inference.ModelInferRequest(model_name="fraud")), [b""], **fields)
    version: Any = SimpleNamespace(model="fraud", version=1)
    routing = Routing(SimpleNamespace(route=Route("fraud")), version, telemetry.ARM_STABLE, 0, False, None)
    output = TensorSpec("y", datatype, ("n",))
    fit = Fit({}, DeclaredInputs([], 0), [output], ["y"], (), None)
    return Answer(Forward(request, routing, fit), [array], finite)


def tensor(datatype="FP32", shape=(1, 3), data=(1, 2, 3), **fields):
    return {"name": "x", "datatype": datatype, "shape": list(shape), "data": list(data), **fields}


def refusal(body, binary=b""):
    with pytest.raises(InvalidInput) as caught:
        read(body, binary)
    return str(caught.value)


def raw(body, dtype):
    return np.frombuffer(read(body)[0].raw_input_contents[0], dtype).tolist()


@pytest.mark.parametrize(
    ("datatype", "dtype", "data"),
    [
        ("BOOL", np.bool_, [True, False, True]),
        ("INT8", np.int8, [-128, 0, 127]),
        ("INT16", np.int16, [-(2**15), 0, 2**15 - 1]),
        ("INT32", np.int32, [-(2**31), 0, 2**31 - 1]),
        ("INT64", np.int64, [-(2**63), 0, 2**63 - 1]),
        ("UINT8", np.uint8, [0, 1, 255]),
        ("UINT16", np.uint16, [0, 1, 2**16 - 1]),
        ("UINT32", np.uint32, [0, 1, 2**32 - 1]),
        ("UINT64", np.uint64, [0, 1, 2**64 - 1]),
        ("FP32", np.float32, [0.5, -2.0, 7]),
        ("FP64", np.float64, [0.1, -1e300, 7]),
    ],
)
def test_every_type_of_json_numbers_is_read_and_written_exactly(datatype, dtype, data):
    assert raw({"inputs": [tensor(datatype, data=data)]}, dtype) == data
    (output,) = json.loads(write_answer(answer(datatype, np.array([data], dtype)), JSON_ONLY).content)["outputs"]
    assert (output["data"], output["shape"]) == (data, [1, 3])


def test_strings_are_read_and_written_as_they_are():
    texts = ["", "caf\u00e9: x", "b"]
    request, _ = read({"inputs": [tensor("BYTES", [3], texts)]})
    assert request.raw_input_contents[0] == b"".join(
        len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts
    )
    words = answer("BYTES", np.array(texts, np.object_))
    assert json.loads(write_answer(words, JSON_ONLY).content)["outputs"][0]["data"] == texts


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1, 2]], [[3, 4]]]])
def test_data_is_flat_or_nested_like_the_shape(data):
    shape = [2, 1, 2] if isinstance(data[0], list) and isinstance(data[0][0], list) else [2, 2]
    assert raw({"inputs": [tensor(shape=shape, data=data)]}, np.float32) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (tensor(data=[1, 2]), "input 'x': expected 3 elements for shape [1, 3], got 2"),
        (tensor(data=[[1, 2], [3]]), "expected lists of 3 in depth 1 for shape [1, 3], got a list of 2"),
        (tensor(shape=[2, 2], data=[[1, 2], 3]), "expected lists of 2 in depth 1 for shape [2, 2], got 3"),
        (tensor(shape=[2, 2], data=[1, [2, 3], 4, 5]), "got a list of 2 as element 1"),
        (tensor(data=[1, "2", 3]), "expected numbers (FP32; JSON has neither NaN nor infinity), got '2' as element 1"),
        (tensor(data=[1, None, 3]), "got null as element 1"),
        (tensor(data=[1, True, 3]), "got true as element 1"),
        (tensor(data=[1, 2, 1e39]), "got 1e+39 as element 2"),
        (tensor("INT32", data=[1, 2, 3.0]), "expected whole numbers (INT32), got 3.0 as element 2"),
        (tensor("UINT8", data=[1, 256, 3]), "expected numbers from 0 to 255 (UINT8), got 256 as element 1"),
        (tensor("UINT64", data=[1, -1, 3]), "expected numbers from 0 to 18446744073709551615 (UINT64), got -1"),
        (tensor("BOOL", data=[True, 1, False]), "expected true or false (BOOL), got 1 as element 1"),
        (tensor("BYTES", data=["a", 1, "b"]), "expected strings (BYTES), got 1 as element 1"),
        (tensor("FP16"), "FP16 has no form in JSON; send it as binary data"),
        (tensor("FLOAT"), "expected datatype to be one of BOOL, UINT8"),
        (tensor(shape=[-1, 3]), "expected sizes from 0 to 9223372036854775807 in shape, got -1"),
        (tensor(shape=[2**70]), "in shape, got 1.1805916207174113e+21"),
        (tensor(shape=[1.5]), "in shape, got 1.5"),
        ({"name": "x", "datatype": "FP32", "shape": [1]}, "expected data to be a list of elements, got null"),
        ({"name": "x", "datatype": "FP32", "data": [1]}, "expected shape to be a list of sizes, got null"),
        ({"name": 7}, "inputs[].name: expected a string, got 7"),
        (tensor(parameters={"shared_memory_region": "r"}), "shared memory is not supported"),
        (tensor(parameters={"binary_data_size": 4}), "expected either data or binary_data_size, got both"),
        (
            tensor(parameters={"deep": {"a": 1}}),
            "'deep': expected a string, a number, true or false, got an object of 1",
        ),
        (5, "inputs: expected a list of objects, got a list of 1"),
    ],
)
def test_a_wrong_tensor_is_refused_with_its_name_what_was_expected_and_what_came(broken, words):
    assert words in refusal({"inputs": [broken]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 10_000 + b"]" * 10_000, "the body is not JSON: depth limit exceeded"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "inputs: expected a list of tensors"),
        (b'{"inputs": NaN}', "the body is not JSON"),
        (b'{"inputs": 1e999}', "the body is not JSON"),
        (b"[1]", "expected a JSON object, got a list"),
        (b'{"inputs": [], "inputs" : []}', "the body has the key 'inputs' twice in one object"),
        (b'{"inputs": [{"name": "x", "name": "y"}]}', "the body has the key 'name' twice in one object"),
        (b"{}", "inputs: expected a list of tensors"),
        (b'{"id": 7}', "id: expected a string, got 7"),
        (b'{"parameters": [1]}', "parameters: expected an object, got a list of 1"),
        (b'{"parameters": {"binary_data_output": 1}}', "expected true or false, got 1"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body, words):
    assert words in refusal(body)


BIG = "123456789012345678901234567890123456789012"


def numbers(datatype, *written):
    """A body with these numbers, as text, in one row."""
    text = f'{{"name": "x", "datatype": "{datatype}", "shape": [1, {len(written)}], "data": [{", ".join(written)}]}}'
    return f'{{"inputs": [{text}]}}'.encode()


@pytest.mark.parametrize(
    ("datatype", "written", "words"),
    [
        ("FP32", "16777217", "FP32 cannot hold 16777217 (element 1 at [0, 1]); the nearest value it has is 16777216."),
        (
            "FP32",
            "-33554435",
            "FP32 cannot hold -33554435 (element 1 at [0, 1]); the nearest value it has is -33554436",
        ),
        ("FP64", str(2**53 + 1), f"FP64 cannot hold {2**53 + 1} (element 1 at [0, 1]); the nearest value it has is"),
        ("FP64", BIG, f"FP64 cannot hold {BIG} (element 1 at [0, 1]); the nearest value it has is 1.2345678901234"),
        ("FP32", str(2**64 + 1), f"FP32 cannot hold {2**64 + 1} (element 1 at [0, 1]); the nearest value"),
        ("FP32", BIG, f"(FP32), got {BIG} as element 1 at [0, 1]"),
        ("INT64", BIG, f"to 9223372036854775807 (INT64), got {BIG} as element 1 at [0, 1]"),
        ("UINT64", str(2**64), f"(UINT64), got {2**64} as element 1 at [0, 1]"),
        ("INT8", "-" + "9" * 300, f"(INT8), got -{'9' * 59}... as element 1 at [0, 1]"),
        ("INT64", "1e30", "expected whole numbers (INT64), got 1e+30 as element 1 at [0, 1]"),
    ],
)
@pytest.mark.parametrize("others", [0, 40])
def test_a_whole_number_that_would_become_another_one_is_refused_with_all_its_digits(datatype, written, words, others):
    assert words in refusal(numbers(datatype, "1", written, *["2"] * others))


@pytest.mark.parametrize(
    ("datatype", "dtype", "written", "expected"),
    [
        ("FP32", np.float32, "16777216", 2.0**24),
        ("FP32", np.float32, "16777217.0", 2.0**24),
        ("FP32", np.float32, "0.1", float(np.float32(0.1))),
        ("FP32", np.float32, "123456789.37", 123456792.0),
        ("FP32", np.float32, "1e30", float(np.float32(1e30))),
        ("FP32", np.float32, str(2**100), 2.0**100),
        ("FP64", np.float64, "1e300", 1e300),
        ("FP64", np.float64, str(2**53 + 2), 2.0**53 + 2),
        ("FP64", np.float64, str(-(2**80)), -(2.0**80)),
    ],
)
def test_a_fraction_becomes_the_nearest_value_and_a_whole_number_stays_itself(datatype, dtype, written, expected):
    assert raw(numbers(datatype, written, "0"), dtype) == [expected, 0]


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=20), st.sampled_from(["FP32", "FP64", "INT32"]))
def test_json_never_changes_a_whole_number(values, datatype):
    dtype = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32}[datatype]
    with suppress(InvalidInput):
        assert raw(numbers(datatype, *map(str, values)), dtype) == values


def test_a_whole_number_of_more_than_64_bits_is_no_parameter():
    body = f'{{"parameters": {{"sequence_id": {BIG}}}, "inputs": [{json.dumps(tensor())}]}}'.encode()
    assert "parameters: 'sequence_id': expected a whole number of 64 bits" in refusal(body)


@pytest.mark.parametrize("outputs", [{}, "", 0, False])
def test_outputs_that_are_no_list_are_refused_also_when_they_are_empty(outputs):
    assert "outputs: expected a list of objects" in refusal({"inputs": [tensor()], "outputs": outputs})


def test_null_counts_as_absent_because_generated_clients_write_it():
    body = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor(parameters=None)]}
    assert read(body)[0].id == ""


def test_parameters_keep_their_types():
    sent = {"routing_key": "k", "n": 7, "big": 2**63, "half": 0.5, "yes": True, "nothing": None}
    parameters = read({"inputs": [tensor()], "parameters": sent})[0].parameters
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    assert kinds == {
        "routing_key": "string_param",
        "n": "int64_param",
        "big": "uint64_param",
        "half": "double_param",
        "yes": "bool_param",
    }


def binary_input(name, array, datatype):
    size = {"binary_data_size": array.nbytes}
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "parameters": size}


def test_binary_data_follows_the_json_in_the_order_of_the_inputs():
    first, second = np.arange(3, dtype=np.float32), np.arange(2, dtype=np.float16)
    inputs = [binary_input("x", first, "FP32"), tensor(name="between"), binary_input("z", second, "FP16")]
    request, _ = read({"inputs": inputs}, first.tobytes() + second.tobytes())
    assert [len(raw) for raw in request.raw_input_contents] == [12, 12, 4]
    assert request.raw_input_contents[2] == second.tobytes()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (16, "expected 16 bytes of binary data after the JSON, got 12"),
        (8, "after the JSON stand 4 bytes of no input"),
        (-1, "expected binary_data_size to be a number of bytes, got -1"),
        ("12", "expected binary_data_size to be a number of bytes, got '12'"),
    ],
)
def test_binary_data_of_the_wrong_size_is_refused(size, words):
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": size}}]}
    assert words in refusal(body, bytes(12))


def test_a_json_length_beyond_the_body_is_refused():
    with pytest.raises(InvalidInput, match="expected at most 2, the size of the body, got 3"):
        RequestBodies().read("fraud", "", b"{}", 3)


def test_the_request_says_which_outputs_are_binary():
    outputs = [{"name": "y", "parameters": {"binary_data": False, "classification": 3}}, {"name": "z"}]
    request, forms = read({"inputs": [tensor()], "outputs": outputs, "parameters": {"binary_data_output": True}})
    assert (forms.is_binary("y"), forms.is_binary("z")) == (False, True)
    assert request.outputs[0].parameters["classification"].int64_param == 3
    assert not request.outputs[1].parameters
    assert "binary_data_output" not in request.parameters


def test_a_binary_answer_says_how_long_its_json_and_each_output_is():
    numbers = np.array([1, 2], np.float32)
    body = write_answer(answer("FP32", numbers, finite=False, id="r"), BINARY)
    said = json.loads(body.content[: body.json_length])
    assert said["outputs"][0] == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2],
        "parameters": {"binary_data_size": 8},
    }
    assert body.content[body.json_length :] == numbers.tobytes()
    assert (said["id"], said["parameters"]) == ("r", {"arm": "stable", "release": 0, "headgate_bad": True})


@given(
    st.lists(
        st.tuples(st.sampled_from(["FP32", "INT64", "BOOL"]), st.integers(1, 3), st.booleans(), st.booleans()),
        min_size=2,
        max_size=10,
    )
)
def test_an_answer_that_is_written_around_its_values_is_the_one_that_is_written_in_full(wanted):
    heads = {datatype: {} for datatype, *_ in wanted}
    for number, (datatype, rows, is_binary, finite) in enumerate(wanted * 2):
        full = answer(datatype, np.arange(number, number + rows).astype(NUMPY_TYPES[datatype]), finite)
        kept = full._replace(forward=full.forward._replace(fit=full.forward.fit._replace(heads=heads[datatype])))
        forms = BINARY if is_binary else JSON_ONLY
        text, length = write_answer(kept, forms)
        assert (text, length) == write_answer(full, forms)
        assert json.loads(text[:length])["outputs"][0]["shape"] == [rows]
    assert all(heads.values())


def test_nan_and_infinity_are_null_in_a_json_answer():
    odd = answer("FP32", np.array([np.nan, np.inf, 1], np.float32))
    assert json.loads(write_answer(odd, JSON_ONLY).content)["outputs"][0]["data"] == [None, None, 1]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON_VALUES,
        "datatype": st.sampled_from(["FP32", "INT8", "BOOL", "BYTES", "FP16"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-2, 3), max_size=3) | JSON_VALUES,
        "data": st.lists(st.integers() | st.floats(-10, 10), max_size=4) | JSON_VALUES,
        "parameters": JSON_VALUES,
    },
)


@settings(max_examples=150, deadline=None)
@given(
    inputs=st.lists(TENSORS | JSON_VALUES, max_size=3) | JSON_VALUES, outputs=JSON_VALUES, binary=st.binary(max_size=8)
)
def test_any_body_is_read_or_refused_in_words(inputs, outputs, binary):
    with suppress(InvalidInput):
        request, _ = read({"inputs": inputs, "outputs": outputs}, binary)
        assert len(request.raw_input_contents) == len(request.inputs)


def binary_tensor(shape, name="x"):
    size = int(np.prod(shape)) * 4
    return {"name": name, "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": size}}


BODIES = [
    ({"inputs": [binary_tensor([2, 1])]}, 8),
    ({"inputs": [binary_tensor([2, 1])], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, 8),
    ({"inputs": [binary_tensor([2, 1]), binary_tensor([1, 1], "z")]}, 12),
    ({"inputs": [binary_tensor([2, 1])], "id": "r"}, 8),
    ({"inputs": [binary_tensor([2, 1])], "parameters": {"routing_key": "k"}}, 8),
    ({"inputs": [tensor(shape=[1, 1], data=[5])]}, 0),
    ({"inputs": [tensor(shape=[1, 1], data=[5])], "outputs": [{"name": "y"}]}, 0),
    ({"inputs": [tensor(shape=[1, 1], data=[6]), binary_tensor([1, 1], "z")]}, 4),
]


@given(st.lists(st.tuples(st.sampled_from(BODIES), st.binary(min_size=12, max_size=12)), min_size=1, max_size=12))
def test_a_body_that_is_known_is_read_as_if_nothing_were_known(sent):
    bodies = RequestBodies()
    for (fields, size), values in sent * 2:
        text = json.dumps(fields).encode()
        request, forms = bodies.read("fraud", "", text + values[:size], len(text))
        assert (whole(request), forms) == read(text, values[:size])


REST = b'"name": "x", "datatype": "FP32", "shape": [1, 2]'
AROUND = [
    b'{"inputs": [{%b, "data": DATA}]}' % REST,
    b'{"inputs": [{"data": DATA, %b}]}' % REST,
    b'{"inputs": [{"data": DATA, %b, "data": [1, 2]}]}' % REST,
    b'{"inputs": [{%b, "more": {"data": DATA}, "data": [1, 2]}]}' % REST,
    b'{"more": {"data": DATA}, "inputs": [{%b, "data": [1, 2]}]}' % REST,
    b'{"inputs": [{%b, "data": DATA}], "id": "r"}' % REST,
    b'{"inputs": [{%b, "data": DATA}], "outputs": [{"name": "y"}]}' % REST,
    b'{"inputs": [{%b, "data": DATA}], "parameters": {"routing_key": "k"}}' % REST,
    b'{"inputs": [{%b, "data": DATA}], "parameters": {"binary_data_output": true}}' % REST,
    b'{"inputs": [{%b, "data": [1, 2]}, {"name": "z", "datatype": "BYTES", "shape": [2], "data": DATA}]}' % REST,
]
DATA = [b"[1, 2]", b"[3.5,-4e2]", b"[[1, 2]]", b"[1]", b"[[1], [2]]", b"[16777217, 1]", b"[1e99, 2]", b"7", b"", b"[1,"]
DATA += [b"[true, 2]", b"[null, 2]", b'["a", "]"]', b"[{}, 2]", b'[1, 2], "data": [1, 2]', b'[1, 2]}], "x": [{"y": 1']


def outcome(bodies, text):
    """The request as a message with the forms of its outputs, or None for a refusal."""
    try:
        request, forms = bodies.read("fraud", "", text, None)
    except InvalidInput:
        return None
    return whole(request), forms


@given(st.lists(st.tuples(st.sampled_from(AROUND), st.sampled_from(DATA)), min_size=2, max_size=20))
def test_json_around_data_that_is_known_is_read_as_if_nothing_were_known(sent):
    bodies = RequestBodies()
    for around, data in sent:
        text = around.replace(b"DATA", data)
        assert outcome(bodies, text) == outcome(RequestBodies(), text)


def test_what_stands_around_the_data_of_one_input_is_read_once():
    bodies = RequestBodies()
    for data in (b"[1, 2]", b"[[3, 4.5]]"):
        request, _ = bodies.read("fraud", "", AROUND[1].replace(b"DATA", data), None)
    assert np.frombuffer(request.raw[0], np.float32).tolist() == [3, 4.5]
    assert len(bodies._frames) == 1
    assert bodies.read("fraud", "", AROUND[1].replace(b"DATA", b"[5, 6]"), None)[0].signature is request.signature


@pytest.mark.parametrize("wrong", [[True, 3], [1.0, 3], [1, "3"]])
def test_a_shape_that_equals_a_known_one_and_has_other_types_is_refused(wrong):
    bodies = RequestBodies()
    for shape in ([1, 3], wrong):
        text = json.dumps({"inputs": [tensor(shape=shape)]}).encode()
        with pytest.raises(InvalidInput, match="in shape, got") if shape is wrong else nullcontext():
            bodies.read("fraud", "", text, None)


def test_callers_of_ever_new_signatures_take_no_more_memory():
    bodies = RequestBodies()
    for n in range(2 * MAX_KNOWN):
        text = json.dumps({"inputs": [binary_tensor([1, 1], f"x{n}")]}).encode()
        bodies.read("fraud", "", text + b"1234", len(text))
        bodies.read("fraud", "", AROUND[0].replace(b'"x"', b'"x%d"' % n).replace(b"DATA", b"[1, 2]"), None)
    assert max(len(bodies._signatures), len(bodies._texts), len(bodies._frames)) <= MAX_KNOWN
