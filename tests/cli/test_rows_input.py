"""Rows of a file as requests: values, places of faults, and how the rows are split and joined."""

import math

import pytest

from headgate.artifacts.table_file import Table
from headgate.cli.rows_input import MAX_BYTES_AT_ONCE, MAX_ROWS, MAX_ROWS_AT_ONCE, joined, parts, tensors_of
from headgate.cli.tensor_input import NotARequest, Spec
from headgate.client.predict import Answer
from headgate.client.tensors import Tensor

PAIR = {"x": Spec("x", "FP32", (-1, 2))}


def answered(version: int, *shape: int) -> Answer:
    return Answer(version, (Tensor("y", "FP32", shape, tuple(float(n) for n in range(math.prod(shape)))),), "stable")


def test_the_cells_of_text_become_what_each_input_takes() -> None:
    specs = {
        "n": Spec("n", "INT64", (-1,)),
        "f": Spec("f", "FP64", (-1, 1)),
        "b": Spec("b", "BOOL", (-1,)),
        "t": Spec("t", "BYTES", (-1,)),
    }
    table = Table({"t": ["", "a"], "b": ["1", "False"], "f": ["0.1", "nan"], "n": ["9007199254740993", "-1"]}, (2, 3))

    found = {tensor.name: tensor for tensor in tensors_of(table, specs)}

    assert (found["n"].values, found["b"].values, found["t"].values) == (
        (9007199254740993, -1),
        (True, False),
        ("", "a"),
    )
    assert (found["f"].shape, found["f"].values[0], math.isnan(found["f"].values[1])) == ((2, 1), 0.1, True)


def test_a_row_may_hold_an_array_and_rows_of_any_depth_are_one_input() -> None:
    assert tensors_of(Table({"any": [[1, 2], [3, None]]}), PAIR)[0].shape == (2, 2)
    deep = {"x": Spec("x", "FP32", (-1, 2, 2))}
    assert tensors_of(Table({"0": [[[1, 2], [3, 4]]]}), deep)[0].values == (1, 2, 3, 4)


def test_the_answers_are_left_out_only_where_the_file_has_one_column_more_than_the_input() -> None:
    assert tensors_of(Table({"a": [1], "label": [9], "b": [2]}), PAIR)[0].values == (1, 2)
    assert tensors_of(Table({"a": [1], "y": [2]}), PAIR)[0].values == (1, 2)
    with pytest.raises(NotARequest, match=r"got \[1, 3\]; the columns are a, b, c"):
        tensors_of(Table({"a": [1], "b": [2], "c": [3]}), PAIR)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (Table({"a": ["1", "2"], "b": ["1", "x"]}, (2, 5)), "line 5, column b: 'x' is not a number"),
        (Table({"a": [1, 16777217], "b": [1, 2]}), "row 2, column a: FP32 cannot hold 16777217"),
        (Table({"x": [[1, 2], [3]]}, (1, 2)), r"line 2, column x: expected the shape \[2\] as in the first row"),
        (Table({"a": [], "b": []}), f"expected 1 to {MAX_ROWS} rows, got 0"),
        (Table({"a": [1] * (MAX_ROWS + 1)}), f"expected 1 to {MAX_ROWS} rows, got {MAX_ROWS + 1}"),
    ],
)
def test_a_value_that_is_refused_is_named_by_its_line_or_row_and_its_column(table: Table, reason: str) -> None:
    with pytest.raises(NotARequest, match=reason):
        tensors_of(table, PAIR)


def test_the_rows_are_split_in_their_order_within_both_limits() -> None:
    many = Tensor("x", "INT64", (2_501, 1), tuple(range(2_501)))
    split = [tensors[0] for tensors in parts([many])]
    assert tuple(value for each in split for value in each.values) == many.values
    assert max(each.shape[0] for each in split) <= MAX_ROWS_AT_ONCE

    large = Tensor("t", "BYTES", (3,), ("a" * MAX_BYTES_AT_ONCE, "b", "c"))
    assert [tensors[0].values for tensors in parts([large])] == [("a" * MAX_BYTES_AT_ONCE,), ("b", "c")]


def test_several_answers_are_one_only_where_one_version_gave_them_all_with_a_value_for_each_row() -> None:
    found = joined([answered(1, 2, 2), answered(1, 1, 2)], [2, 1]).tensors[0]
    assert (found.shape, found.values) == ((3, 2), (0, 1, 2, 3, 0, 1))
    with pytest.raises(NotARequest, match="answered by v1 and v2: choose one with --version"):
        joined([answered(1, 2), answered(2, 1)], [2, 1])
    with pytest.raises(NotARequest, match="output 'y' has no value for each row: give at most 1000 rows"):
        joined([answered(1, 1), answered(1, 1)], [2, 1])
