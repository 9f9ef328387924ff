"""Rows in files of people: what each format gives, and where a file is wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

from headgate.artifacts.table_file import InvalidTable, columns_of_inputs, read_table


def written(directory: Path, content: bytes) -> Path:
    file = directory / "rows"
    file.write_bytes(content)
    return file


WRONG = {
    "a broken line of json": (b'{"a": 1}\n\n{oops\n', "line 3, character 2: Expecting property name"),
    "an array below objects": (b'{"a": 1}\n[1]\n', "line 2 is an array, and the first row an object"),
    "an object below arrays": (b'[1]\n{"a": 1}\n', "line 2 is an object, and the first row an array"),
    "a number below arrays": (b"[1]\n\n2\n", "line 3: expected an object with a value for each column, or an array"),
    "a short array": (b"[1, 2]\n[3]\n", "line 2 has the number of values 1, and line 1 2"),
    "other names on a line": (b'\n{"a": 1}\n\n{"b": 1}\n', "line 4 has the columns b, and line 2 a"),
    "a number of too many digits": (b'{"a": 1}\n{"a": ' + b"1" * 5_000 + b"}\n", "line 2: Exceeds the limit"),
    "deep json": (b'{"a": 1}\n{"a": ' + b"[" * 200_000, "line 2: expected JSON with less nesting"),
    "a short line of csv": (b'a,b\n"x\ny",2\n1\n', "line 4 has 1 cell, and the first line 2"),
    "a row in place of the header": (b"1.5,2,2\n3,4,5\n", "line 1 has only numbers: put the names of the columns"),
    "a cell that is too long": (b"a\n1\n" + b"x" * 200_000, "line 3: field larger than field limit"),
    "latin-1": (b"a,b\n1,2\n\xe9,2\n", "line 3: the byte 0xe9 is no UTF-8: save the file as UTF-8"),
    "an array of objects": (b"\x93NUMPY\x01\x00", "NPY: .*save an array of numbers with numpy.save"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_holds_no_table_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    content, reason = WRONG[case]

    with pytest.raises(InvalidTable, match=reason):
        read_table(written(tmp_path, content))


def test_an_array_of_python_objects_is_refused_with_how_to_save_it(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1, None]], np.object_), allow_pickle=True)

    with pytest.raises(InvalidTable, match=r"NPY: .*save an array of numbers"):
        read_table(tmp_path / "rows.npy")


def test_a_header_that_counts_the_columns_as_pandas_does_is_one(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b"0,1,2\n3,4,5\n"))

    assert (list(table.columns), table.rows) == (["0", "1", "2"], 1)


def test_a_row_is_found_again_by_the_line_on_which_it_ends(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b'a,b\n\n"x\ny",2\n3,4\n'))

    assert (table.rows, table.place(0), table.place(1)) == (2, "line 4", "line 5")


def test_the_last_column_of_an_array_has_a_name_only_where_one_is_given(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(6).reshape(2, 3))

    assert list(read_table(tmp_path / "rows.npy").columns) == ["0", "1", "2"]
    assert list(read_table(tmp_path / "rows.npy", last="answer").columns) == ["0", "1", "answer"]
    assert read_table(tmp_path / "rows.npy").place(1) == "row 2"


def test_a_line_of_json_may_be_an_array_whose_columns_have_no_names(tmp_path: Path) -> None:
    lines = written(tmp_path, b"[1, 2, null]\n\n[3, 4, 5]\n")

    assert read_table(lines).columns == {"0": [1, 3], "1": [2, 4], "2": [None, 5]}
    assert read_table(lines).place(1) == "line 3"
    assert list(read_table(lines, last="answer").columns) == ["0", "1", "answer"]
    with pytest.raises(InvalidTable, match="line 1: expected an array with the values of the row, the answer last"):
        read_table(written(tmp_path, b"[1]\n"), last="answer")


def test_a_line_of_json_with_an_array_of_arrays_is_one_value_or_a_row_of_values_before_its_answer(
    tmp_path: Path,
) -> None:
    lines = written(tmp_path, b"[[1, 2], [3, 4]]\n[[5, 6], [7, 8]]\n")

    assert read_table(lines).columns == {"0": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}
    assert list(read_table(lines, last="answer").columns) == ["0", "answer"]


@pytest.mark.parametrize(
    ("module", "content", "packages"),
    [("arro3.io", b"PAR1", "arro3-core arro3-io"), ("numpy", b"\x93NUMPY", "numpy")],
)
def test_a_package_that_is_missing_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, content: bytes, packages: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(InvalidTable, match=f"not installed here: pip install {packages}"):
        read_table(written(tmp_path, content))


def test_columns_go_to_the_inputs_of_their_names_or_to_the_only_input() -> None:
    assert columns_of_inputs(["b", "more", "a"], ["a", "b"]) == {"a": ["a"], "b": ["b"]}
    assert columns_of_inputs(["p", "q"], ["x"]) == {"x": ["p", "q"]}
    with pytest.raises(InvalidTable, match="there is no column b for this input; the columns are a"):
        columns_of_inputs(["a"], ["a", "b"])
    with pytest.raises(InvalidTable, match=r'the inputs a, b: give each row as \{"a": \.\.\., "b": \.\.\.\}'):
        columns_of_inputs(["0", "1"], ["a", "b"])
