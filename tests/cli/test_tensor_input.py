"""Rows and JSON documents become tensors of the model's inputs. An error names the input, the place and the value."""

import json
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from headgate.artifacts.datatypes import BYTES, CARRIED_TYPES
from headgate.cli.tensor_input import NotARequest, Request, Spec, from_json, from_rows, parse
from headgate.client.tensors import DATATYPES, MAX_RANK, Tensor, read_output, tensor_of
from headgate.inference import grpc_predict_v2_pb2 as inference

LARGEST_FP32 = (2 - 2**-23) * 2.0**127
AMOUNT = {"amount": Spec("amount", "FP32", (-1, 2))}
TWO = {
    "amount": Spec("amount", "FP32", (-1, 2)),
    "country": Spec("country", "BYTES", (-1,)),
}


def spec(datatype: str, *shape: int) -> dict[str, Spec]:
    return {"x": Spec("x", datatype, shape)}


def of_json(text: str, specs: dict[str, Spec] = AMOUNT) -> Request:
    return from_json(parse(text.encode()), specs)


def only(request: Request) -> Tensor:
    (tensor,) = request.tensors
    return tensor


def test_rows_of_the_command_line_become_one_tensor_with_nan_for_a_missing_value() -> None:
    tensor = only(from_rows(["1,2.5", " 3 ,"], AMOUNT))
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.values[:3]) == ("amount", "FP32", (2, 2), (1, 2.5, 3))
    assert math.isnan(float(tensor.values[3]))


@pytest.mark.parametrize(
    ("datatype", "row", "values"),
    [
        ("INT64", "9223372036854775807,-1", (2**63 - 1, -1)),
        ("UINT64", "18446744073709551615,0", (2**64 - 1, 0)),
        ("INT8", "-128,127", (-128, 127)),
        ("BOOL", "true, False", (True, False)),
        ("FP64", "9007199254740992,0.1", (2**53, 0.1)),
        ("FP16", "0.5,2048", (0.5, 2048)),
        ("BYTES", "a b,", ("a b", "")),
        ("FP32", f"{LARGEST_FP32!r},-{LARGEST_FP32!r}", (LARGEST_FP32, -LARGEST_FP32)),
    ],
)
def test_a_row_is_read_as_the_datatype_of_the_input(datatype: str, row: str, values: tuple[object, ...]) -> None:
    assert only(from_rows([row], spec(datatype, -1, 2))).values == values


def test_an_input_of_one_dimension_takes_one_value_in_each_row() -> None:
    assert only(from_rows(["1", "2"], spec("INT32", -1))).shape == (2,)
    with pytest.raises(NotARequest, match="input 'x' has one value in each row: --row '1,2' has more"):
        from_rows(["1,2"], spec("INT32", -1))


@pytest.mark.parametrize(
    ("text", "shape"), [("[[1, 2], [3, null]]", (2, 2)), ("[1, 2]", (1, 2)), ('{"amount": [[1, 2]]}', (1, 2))]
)
def test_a_document_is_an_array_of_rows_one_row_or_an_object_with_the_input(text: str, shape: tuple[int, ...]) -> None:
    assert only(of_json(text)).shape == shape


def test_a_document_of_any_rank_keeps_its_shape() -> None:
    rows = [[[[1, 2, 3], [4, 5, 6]]]] * 5
    tensor = only(of_json(json.dumps(rows), spec("UINT8", -1, 1, 2, 3)))
    assert (tensor.shape, tensor.nested()) == ((5, 1, 2, 3), rows)


def test_an_object_has_an_array_for_each_input() -> None:
    tensors = of_json('{"country": ["de", "\\u00fc"], "amount": [[1, 2], [3, 4]]}', TWO).tensors
    assert [(each.name, each.shape) for each in tensors] == [("country", (2,)), ("amount", (2, 2))]
    assert tensors[0].raw() == b"\x02\0\0\0de\x02\0\0\0\xc3\xbc"


def test_a_request_of_the_protocol_is_sent_as_it_is() -> None:
    document = {
        "id": "r-1",
        "inputs": [
            {"name": "amount", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]},
            {"name": "country", "data": ["de", "fr"]},
        ],
        "outputs": [{"name": "probability"}],
    }
    request = of_json(json.dumps(document), TWO)
    assert (request.id, request.outputs) == ("r-1", ("probability",))
    assert [(each.datatype, each.shape) for each in request.tensors] == [("FP64", (2, 2)), ("BYTES", (2,))]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("3", "expected an array of rows, or an object with an array for each input, got a number"),
        ("null", "got null"),
        ('"row"', "got text"),
        ("[", "expected JSON: "),
        ("", "expected JSON: it is empty"),
        (" \n", "expected JSON: it is empty"),
        ("[" * 100_000, "expected JSON with less nesting"),
        ('{"amount": [[1, 2]], "amount": [[3, 4]]}', "a key is given twice"),
        ("[]", "input 'amount': expected at least one row, got none"),
        ('{"amount": []}', "input 'amount': expected at least one row, got none"),
        ('{"amount": 3}', "amount: expected an array, got a number"),
        ('{"income": [[1, 2]]}', "the model has no input 'income'; it takes 'amount'"),
        ("[[[1, 2]]]", r"input 'amount': expected the shape \[-1, 2\], where -1 is any size, got \[1, 1, 2\]"),
        ("[" * 20 + "]" * 20, "input 'amount': expected the shape"),
        ("[[1, 2], [3]]", "input 'amount', row 2: expected 2 values as in the first row, got 1"),
        ('[[1, 2], "34"]', "input 'amount', row 2: expected an array of 2 values, got '34'"),
        ("[[1, 2], [3, [4]]]", r"input 'amount', row 2, column 2: expected one value, got \[4\]"),
        ("[[1, 2], [3, true]]", "row 2, column 2: true is not a number"),
        ('[[1, 2], [3, "4"]]', "row 2, column 2: '4' is not a number"),
        ("[[1, 2], [3, [null, 1.5]]]", r"row 2, column 2: expected one value, got \[null, 1.5\]"),
        (
            "[[1, 2], [3, NaN]]",
            "row 2, column 2: NaN is not a finite number; a missing value is empty in --row and null",
        ),
        ("[[1, 2], [3, -Infinity]]", "row 2, column 2: -Infinity is not a finite number"),
        ("[[1, 2], [3, 1e400]]", r"row 2, column 2: FP32 cannot hold 1E\+400; the nearest value it has is inf"),
        ("[[1, 2], [3, 1.2345678901e30]]", r"FP32 cannot hold 1\.2345678901e\+30; the nearest value it has is 1\.2"),
        ("[[1, 2], [3, 123456790]]", "FP32 cannot hold 123456790; the nearest value it has is 123456792"),
        ("[[1, 2], [3, 3.5e38]]", r"row 2, column 2: FP32 cannot hold "),
        (f"[[1, 2], [3, {'9' * 400}]]", "row 2, column 2: FP32 cannot hold 9999"),
        (f"[[1, 2], [3, {'9' * 5_000}]]", "row 2, column 2: FP32 cannot hold 9999"),
        ("[[1, 2], [3, 16777217]]", "row 2, column 2: FP32 cannot hold 16777217; the nearest value it has is 16777216"),
        ("[[1, 2], [3, 1.6777217e7]]", "row 2, column 2: FP32 cannot hold 16777217; the nearest"),
        ("[[1, 2], [3, 1e-50]]", "row 2, column 2: FP32 cannot hold 1e-50; the nearest|FP32 cannot hold 1E-50"),
        (
            '{"inputs": [{"name": "amount", "data": [[1, 2]], "size": 3}]}',
            r"inputs\[0\] has the key 'size'; expected name",
        ),
        ('{"inputs": [{"data": [[1, 2]]}]}', r"inputs\[0\].name: expected text, but it is missing"),
        ('{"inputs": [{"name": "amount"}]}', r"inputs\[0\].data: expected an array, but it is missing"),
        (
            '{"inputs": [{"name": "amount", "shape": [2, 2], "data": [1, 2, 3]}]}',
            r"inputs\[0\].data: expected 4 values for the shape \[2, 2\], got 3",
        ),
        (
            '{"inputs": [{"name": "amount", "shape": [0], "data": [1]}]}',
            r"inputs\[0\].shape: expected an array of whole",
        ),
        (
            '{"inputs": [{"name": "amount", "datatype": "FP8", "data": [[1, 2]]}]}',
            "expected one of BOOL, .* got 'FP8'",
        ),
        ('{"inputs": [], "outputs": ["p"]}', "outputs: expected an array of objects with a name"),
        ('{"inputs": [], "outputs": [{}]}', r"outputs\[0\].name: expected text, but it is missing"),
        ('{"inputs": [], "id": 3}', "id: expected text, got a number"),
        (
            '{"inputs": [], "parameters": {"binary": true}}',
            "the request has parameters, which this command does not send",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_a_document_that_is_no_request_is_refused_with_the_place(text: str, problem: str) -> None:
    with pytest.raises(NotARequest, match=problem):
        of_json(text)


@pytest.mark.parametrize(
    ("datatype", "value", "problem"),
    [
        ("INT64", "9223372036854775808", "INT64 cannot hold 9223372036854775808"),
        ("INT64", "1.5", "INT64 cannot hold 1.5"),
        ("INT64", "null", "INT64 has no missing value"),
        ("UINT8", "-1", "UINT8 cannot hold -1"),
        ("UINT8", "256", "UINT8 cannot hold 256"),
        ("INT32", '"7"', "'7' is not a number"),
        ("FP16", "70000", "FP16 cannot hold 70000"),
        ("FP16", "2049", "FP16 cannot hold 2049; the nearest value it has is 2048"),
        ("BF16", "257", "BF16 cannot hold 257; the nearest value it has is 256"),
        ("BF16", "3.4e38", "BF16 cannot hold .*; the nearest value it has is inf"),
        ("FP64", "9007199254740993", "FP64 cannot hold 9007199254740993"),
        ("BOOL", "1", "1 is neither true nor false"),
        ("BOOL", "null", "BOOL has no missing value"),
        ("BYTES", "3", "3 is not text"),
        ("BYTES", "null", "null is not text"),
        ("BYTES", '"\\ud800"', ".* holds half of a surrogate pair"),
    ],
)
def test_a_value_that_the_datatype_cannot_hold_is_refused_by_name_and_value(
    datatype: str, value: str, problem: str
) -> None:
    with pytest.raises(NotARequest, match=f"input 'x', row 2: {problem}"):
        tensor_of_good_and(datatype, value)


def tensor_of_good_and(datatype: str, value: str) -> None:
    good = {"BOOL": "true", "BYTES": '"a"'}.get(datatype, "1")
    of_json(f"[{good}, {value}]", spec(datatype, -1))


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "3.5e38", "nan", "NaN", "inf", "-Infinity", "9" * 50, "9" * 5_000, "one"]
)
def test_the_error_of_a_row_names_its_place_and_the_value(value: str) -> None:
    with pytest.raises(NotARequest, match="input 'amount', row 2, column 2: ") as refused:
        from_rows(["1,2", f"3,{value}"], AMOUNT)
    assert value[:3].lower().removesuffix("e4").removesuffix(".5") in str(refused.value).lower()


def test_a_model_with_several_inputs_needs_an_object() -> None:
    for give in (lambda: from_rows(["1,2"], TWO), lambda: of_json("[[1, 2]]", TWO)):
        with pytest.raises(NotARequest, match="the model has the inputs amount, country: give --json with an object"):
            give()


def test_rows_of_more_than_two_dimensions_need_a_document() -> None:
    with pytest.raises(NotARequest, match=r"input 'x' has the shape \[-1, 2, 2\]: give its values with --json"):
        from_rows(["1,2"], spec("FP32", -1, 2, 2))


SAMPLES: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["", "\u00fc, x"]}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_an_output_is_read_as_it_was_sent_in_raw_bytes(datatype: str) -> None:
    values = SAMPLES.get(datatype, [0, 100])
    sent = tensor_of("y", datatype, [values])
    output = inference.ModelInferResponse.InferOutputTensor(name="y", datatype=datatype, shape=[1, 2])
    assert read_output(output, sent.raw()) == sent


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT16", "int_contents", [-3]),
        ("INT64", "int64_contents", [2**62]),
        ("UINT8", "uint_contents", [255]),
        ("UINT64", "uint64_contents", [2**63]),
        ("FP32", "fp32_contents", [0.5]),
        ("FP64", "fp64_contents", [0.1]),
        ("BYTES", "bytes_contents", [b"a", b"\xff"]),
    ],
)
def test_an_output_is_read_from_typed_contents(datatype: str, field: str, values: list[Any]) -> None:
    output = inference.ModelInferResponse.InferOutputTensor(name="y", datatype=datatype, shape=[len(values)])
    getattr(output.contents, field).extend(values)
    shown = [value.decode(errors="backslashreplace") if isinstance(value, bytes) else value for value in values]
    assert list(read_output(output, None).values) == shown


def test_every_datatype_of_the_protocol_can_be_sent() -> None:
    assert set(DATATYPES) == {*CARRIED_TYPES.values(), BYTES}


def test_the_shortest_text_of_a_value_stands_for_it_as_programs_write_it() -> None:
    rows = [[1e30, 123456790.0], [0.1, 16777216.0]]
    written = of_json("[[1e30, 123456790.0], [0.1, 1.6777216e7]]").tensors[0]
    assert written.values == tuple(float(np.float32(value)) for row in rows for value in row)
    assert from_rows(["1e30,1.2345679e8"], AMOUNT).tensors[0].values == written.values[:2]


def test_bfloat16_is_sent_as_the_upper_half_of_a_float32() -> None:
    sent = of_json("[1, 0.1, -2.5, null, 3.39e38]", spec("BF16", -1)).tensors[0]
    assert sent.raw() == np.array([1, 0.1, -2.5, np.nan, 3.39e38], ml_dtypes.bfloat16).tobytes()


def test_a_tensor_of_too_many_dimensions_is_refused_before_it_is_walked() -> None:
    rows: Any = 1
    for _ in range(MAX_RANK + 1):
        rows = [rows]
    with pytest.raises(ValueError, match=f"at most {MAX_RANK} dimensions"):
        tensor_of("x", "FP32", rows)


@pytest.mark.parametrize(("specs", "row"), [(AMOUNT, "1,2,3"), (AMOUNT, "1"), (spec("FP32", 1, 2), "1,2,3")])
def test_a_row_of_another_width_is_refused_before_it_is_sent(specs: dict[str, Spec], row: str) -> None:
    width = row.count(",") + 1
    with pytest.raises(NotARequest, match=rf"where -1 is any size, got \[1, {width}\]"):
        from_rows([row], specs)
    with pytest.raises(NotARequest, match="where -1 is any size"):
        of_json(f"[[{row}]]", specs)


def test_a_document_that_is_not_utf_8_is_refused_with_the_place() -> None:
    with pytest.raises(NotARequest, match="expected text in UTF-8, got the byte 0xff in line 1"):
        parse(b'["\xff"]')
    assert parse(b"\xef\xbb\xbf[1]") == [1]
