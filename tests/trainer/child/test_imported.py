"""An imported ONNX file with its test rows: which tables are read, what the columns become, and what is refused."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.core import Table
from arro3.io import write_parquet
from onnx import ModelProto, helper, numpy_helper

from headgate.artifacts import layout
from headgate.artifacts.row_file import rows_from_bytes
from services.trainer.child.built import build_artifact
from services.trainer.child.failure import ExportFailure, TrainingFailure
from tests.artifacts.graph_material import beside, floats, identity, model, text, tokenizer, tree, whole, with_zipmap
from tests.trainer.child.test_built import JOB

COLUMNS = {"amount": [0.1, 0.2, 0.8, 0.9], "age": [3, 1, 4, 1], "label": [0, 0, 1, 1]}


def imported(
    directory: Path, made: ModelProto | bytes, rows: bytes, answers: str = "", **job: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """The test rows of the artifact."""
    (directory / "model.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    (directory / "rows").write_bytes(rows)
    files = directory / "artifact"
    files.mkdir()
    paths = {"model": str(directory / "model.onnx"), "rows": str(directory / "rows")}
    build_artifact(files, replace(JOB, checkout=str(directory), data=paths, answers=answers, **job))
    return rows_from_bytes((files / layout.TEST_ROWS_FILE).read_bytes())


def as_csv(columns: Mapping[str, Any], directory: Path) -> bytes:
    file = directory / "table"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file.read_bytes()


def as_json_lines(columns: Mapping[str, Any], directory: Path) -> bytes:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_parquet(columns: Mapping[str, Any], directory: Path) -> bytes:
    file = directory / "table"
    write_parquet(Table.from_pydict({name: np.array(values) for name, values in columns.items()}), str(file))
    return file.read_bytes()


def as_npy(columns: Mapping[str, Any], directory: Path) -> bytes:
    file = directory / "table.npy"
    np.save(file, np.array(list(columns.values())).T)
    return file.read_bytes()


@pytest.mark.parametrize("written", [as_csv, as_json_lines, as_parquet, as_npy])
def test_the_columns_of_a_table_are_those_of_the_one_input_and_the_answers(tmp_path: Path, written: Any) -> None:
    rows = imported(tmp_path, tree(), written(COLUMNS, tmp_path))

    expected = np.array([COLUMNS["amount"], COLUMNS["age"]], np.float32).T
    np.testing.assert_array_equal(rows["X.input"], expected)
    assert rows["X.input"].dtype == np.float32
    assert (rows["y"].tolist(), rows["y"].dtype) == ([0, 0, 1, 1], np.int64)


def test_columns_go_to_the_inputs_of_their_names_and_any_column_may_have_the_answers(tmp_path: Path) -> None:
    made = model(
        [identity("town", "same"), identity("size", "prediction")],
        [text("town", None, 1), floats("size", None, 1)],
        [floats("prediction", None, 1), text("same", None, 1)],
    )
    table = {"price": [1.5, 2.5], "town": ["Ulm", "Köln"], "size": [1.0, 2.0]}

    rows = imported(tmp_path, made, as_csv(table, tmp_path), "price", task="regression")

    assert rows["X.town"].tolist() == [["Ulm"], ["Köln"]]
    assert rows["y"].tolist() == [1.5, 2.5]


def test_a_row_of_json_may_have_several_values_for_an_input(tmp_path: Path) -> None:
    made = model([identity("tokens", "prediction")], [whole("tokens", None, 2)], [whole("prediction", None, 2)])
    table = {"tokens": [[1, 2], [3, 4]], "target": [[1, 2], [3, 5]]}

    rows = imported(tmp_path, made, as_json_lines(table, tmp_path), task="regression")

    assert (rows["X.tokens"].tolist(), rows["X.tokens"].dtype) == ([[1, 2], [3, 4]], np.int64)


def objects() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([["a", 1]], object))
    return content.getvalue()


def looked_up() -> ModelProto:
    """It knows the tokens 0 to 3."""
    return model(
        [helper.make_node("Gather", ["table", "x"], ["p"])],
        [whole("x", None, 1)],
        [floats("p", None, 1)],
        [numpy_helper.from_array(np.array([0.1, 0.9, 0.8, 0.2], np.float32), "table")],
    )


REFUSED = {
    "a pickle": (b"\x80\x04\x95rest", b"a,b,label\n1,2,0\n", "the file is refused: it is a pickle"),
    "no onnx": (b"hello", b"a,b,label\n1,2,0\n", "the file is refused: it is no ONNX file"),
    "beside": (beside(), b"a,b,label\n1,2,0\n", "the file is refused: its tensor weights lies in a file beside it"),
    "zipmap": (with_zipmap(), b"a,b,label\n1,2,0\n", "options={'zipmap': False}"),
    "no rows": (tree(), b"a,b,label\n", "the file has no rows"),
    "nothing": (tree(), b"", "the file has no rows"),
    "no answers": (tree(), b"a,b,c\n1,2,0\n", "Name it with --answers; the columns are a, b, c"),
    "two answers": (tree(), b"a,y,label\n1,2,0\n", "Name it with --answers; the columns are a, y, label"),
    "too many columns": (
        tree(),
        b"a,b,c,label\n1,2,3,0\n",
        "the test rows: the file takes rows of [2] as input, where -1 is any size, and these are [3]",
    ),
    "text for a number": (tree(), b"a,b,label\n1,x,0\n", "row 0, column b: expected float32, got 'x'"),
    "a whole number that changes": (
        tree(),
        b"a,b,label\n1,2,0\n1,16777217,0\n",
        "row 1, column b: expected float32, got '16777217' (FP32 cannot hold 16777217; the nearest value it has is",
    ),
    "a number out of range": (tree(), b"a,b,label\n1,1e39,0\n", "FP32 cannot hold 1e+39; the nearest value"),
    "an answer that changes": (
        tree(),
        b'{"a": 1, "b": 2.5, "label": 9007199254740993}\n',
        "row 0, column label: expected float64, got 9007199254740993 (FP64 cannot hold",
    ),
    "a class too many": (tree(), b"a,b,label\n1,2,2\n", "the test rows: the answer of row 0 is 2"),
    "a short line": (tree(), b"a,b,label\n1,2\n", "line 2 has 2 cells, and the first line 3"),
    "a name twice": (tree(), b"a,a,label\n1,2,0\n", "each with a name of its own"),
    "no utf-8": (tree(), b"a,b,label\n\xff,2,0\n", "line 2: the byte 0xff is no UTF-8: save the file as UTF-8"),
    "bad json": (tree(), b'{"a": 1, "b": 2, "label": 0}\n\n{oops\n', "Parquet or NPY: line 3, character 2: "),
    "bad parquet": (
        tree(),
        b"PAR1 and nothing else",
        "JSON lines, Parquet or NPY: Parquet: ",
    ),
    "half an array": (tree(), b"\x93NUMPY\x01\x00", "the file cannot be read as CSV"),
    "an array of objects": (tree(), objects(), "Python objects in dtype.; save an array of numbers with numpy.save"),
    "a token that it does not know": (
        looked_up(),
        b"x,label\n1,0\n2,1\n9,0\n1,1\n8,0\n",
        "the file cannot answer row 2 of the test rows: Gather: indices element out of data bounds, idx=9 must be",
    ),
    "rows beside": (
        model(
            [
                helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]),
                helper.make_node("Sub", ["x", "m"], ["d"]),
                helper.make_node("Sigmoid", ["d"], ["p"]),
            ],
            [floats("x", None, 1)],
            [floats("p", None, 1)],
        ),
        b"x,label\n1,0\n2,1\n9,0\n",
        "from the training rows. It gives for the output p: ",
    ),
    "a fraction for a whole number": (
        model([identity("x", "y")], [whole("x", None, 1)], [whole("y", None, 1)]),
        b"x,label\n1.5,0\n",
        "row 0, column x: expected int64, got '1.5'",
    ),
    "text that is measured": (tokenizer(), b"text,label\na,0\nbcd,1\n", "the file, on the test rows: the prediction"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_is_refused_with_the_place_and_the_next_step(tmp_path: Path, case: str) -> None:
    made, rows, reason = REFUSED[case]

    with pytest.raises((TrainingFailure, ExportFailure)) as refused:
        imported(tmp_path, made, rows)

    assert reason in str(refused.value)
    assert not [word for word in ("datasets(context)", "network:", "file: the file") if word in str(refused.value)]


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailure, match="there is no column truth; the columns are a, b, label"):
        imported(tmp_path, tree(), b"a,b,label\n1,2,0\n", "truth")
