"""`headgate predict` against a real gateway: inputs of every kind and shape, and every output of the answer."""

import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.cli.predict import MAX_SHOWN_ROWS, MAX_SHOWN_VALUES, table_text
from headgate.cli.session import HOME
from headgate.client.tensors import Tensor
from tests.cli.running import Headgate, run_headgate
from tests.gateway.harness import GatewayHarness, canary, running_gateway
from tests.gateway.networks import affine, half, mixed, recurrent, root

MIXED = {
    "i64": [9007199254740993, -1],
    "u8": [0, 255],
    "f64": [0.1, None],
    "flag": [True, False],
    "text": ["a, b", "\u00fc"],
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayHarness]:
    networks = {
        ("fraud", 1): affine(2.0),
        ("fraud", 2): affine(3.0),
        ("mixed", 1): mixed(),
        ("half", 1): half(),
        ("steps", 1): recurrent(),
        ("root", 1): root(),
    }
    with running_gateway(networks) as running:
        for model, _ in networks:
            running.serve(model, live=1)
        running.serve("fraud", live=1, release=canary(5_000, epoch=5))
        yield running


@pytest.fixture
def headgate(
    gateway: GatewayHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    monkeypatch.chdir(tmp_path)

    return partial(run_headgate, monkeypatch, capsys, "--gateway", gateway.address)


def answered(headgate: Headgate, document: object, model: str, *arguments: str) -> dict[str, Any]:
    Path("rows.json").write_text(json.dumps(document))
    code, out, err = headgate("predict", model, "--json", "rows.json", "--key", "k", "-o", "json", *arguments)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_rows_go_to_the_version_of_the_key_and_the_answer_names_its_arm(headgate: Headgate) -> None:
    factors = {"stable": 2, "candidate": 3}
    arms = set()
    for number in range(20):
        code, out, _ = headgate("predict", "fraud", "--row", "1,2,3", "--key", f"k{number}", "-o", "json")
        found = json.loads(out)
        assert (code, found["outputs"]) == (0, {"y": [factors[found["arm"]] * x for x in (1, 2, 3)]})
        arms.add(found["arm"])
    assert arms == {"stable", "candidate"}
    assert headgate("predict", "fraud", "--row", "1,2,3", "--key", "J\u00f6rg\u2019s key")[0] == 0
    pinned = answered(headgate, [[1, 2, 3]], "models/fraud", "--version", "v2")
    assert (pinned["version"], pinned["arm"]) == (2, "pinned")


def test_every_output_of_every_datatype_is_printed_exactly(headgate: Headgate) -> None:
    found = answered(headgate, MIXED, "mixed")
    assert found["outputs"] == {f"{name}_out": values for name, values in MIXED.items()}
    assert found["datatypes"] == {
        "i64_out": "INT64",
        "u8_out": "UINT8",
        "f64_out": "FP64",
        "flag_out": "BOOL",
        "text_out": "BYTES",
    }
    assert found["shapes"] == {f"{name}_out": [2] for name in MIXED}
    assert found["warning"] == "some values are not finite numbers; this answer counts as bad"
    code, out, _ = headgate("predict", "mixed", "--json", "rows.json")
    lines = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert code == 0
    assert lines["i64_out"] == "9007199254740993, -1"
    assert lines["flag_out"] == "true, false"
    assert lines["text_out"] == '"a, b", "\u00fc"'
    assert "not finite numbers; this answer counts as bad" in lines["warning"]


def test_only_the_outputs_that_a_request_of_the_protocol_names_are_asked_for(headgate: Headgate) -> None:
    inputs = [{"name": name, "data": values} for name, values in MIXED.items()]
    found = answered(headgate, {"inputs": inputs, "outputs": [{"name": "u8_out"}]}, "mixed")
    assert found["outputs"] == {"u8_out": [0, 255]}


def test_an_input_of_three_dimensions_and_one_of_half_precision_are_sent(headgate: Headgate) -> None:
    found = answered(headgate, [[[1, 2, 3, 4], [5, 6, 7, 8]]], "steps")
    assert (found["shapes"], len(found["outputs"]["y"])) == ({"y": [1, 1, 2, 2]}, 4)
    assert headgate("predict", "half", "--row", "0.5", "--row", "2048")[1].split() == [
        "version",
        "v1",
        "arm",
        "stable",
        "y",
        "0.5,",
        "2048",
    ]


def test_a_document_comes_from_standard_input(headgate: Headgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[[4, 9, 16]]")))
    assert "2, 3, 4" in headgate("predict", "root", "--json", "-")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the rows with one of --row, --json and --rows"),
        (["--row", "1,2,3", "--json", "rows.json"], "give the rows with one of --row, --json and --rows"),
        (["--row", "1,2,16777217"], "--row: input 'x', row 1, column 3: FP32 cannot hold 16777217; the nearest"),
        (["--json", "rows.json"], "--json rows.json: input 'x': expected at least one row, got none"),
    ],
)
def test_wrong_rows_are_refused_before_they_are_sent(headgate: Headgate, arguments: list[str], message: str) -> None:
    Path("rows.json").write_text("[]")
    code, out, err = headgate("predict", "fraud", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_gateway_refuses_rows_of_another_shape_and_an_unknown_model(headgate: Headgate) -> None:
    code, _, err = headgate("predict", "fraud", "--row", "1,2")
    assert (code, "expected the shape [-1, 3]" in err) == (2, True)
    assert headgate("predict", "nobody", "--row", "1")[0] == 3


def test_the_gateway_shows_whether_it_is_ready_and_what_a_model_takes(
    gateway: GatewayHarness, headgate: Headgate
) -> None:
    code, out, _ = headgate("gateway", "status", "-o", "json")
    found = json.loads(out)
    assert (code, found["name"], found["live"], found["ready"]) == (0, "headgate", True, True)
    code, out, _ = headgate("gateway", "model", "mixed")
    assert (code, "i64: INT64 [-1]" in out, "text_out: BYTES [-1]" in out) == (0, True, True)
    found = json.loads(headgate("gateway", "model", "fraud", "--version", "2", "-o", "json")[1])
    assert (found["versions"], found["inputs"]) == ([1, 2], [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}])
    gateway.ready = False
    try:
        assert headgate("gateway", "status")[0] == 1
    finally:
        gateway.ready = True


def test_the_status_of_the_gateway_of_this_folder_names_its_rest_server_too(
    gateway: GatewayHarness, headgate: Headgate, tmp_path: Path
) -> None:
    assert "rest" not in headgate("gateway", "status")[1]
    (tmp_path / HOME).mkdir()
    port = int(gateway.address.rpartition(":")[2])
    (tmp_path / HOME / "up.json").write_text(json.dumps({"ports": {"gateway": port}, "rest_port": 7405}))
    assert json.loads(headgate("gateway", "status", "-o", "json")[1])["rest"] == "http://127.0.0.1:7405"
    (tmp_path / HOME / "up.json").write_text(json.dumps({"ports": {"gateway": 1}, "rest_port": 7405}))
    assert json.loads(headgate("gateway", "status", "-o", "json")[1])["rest"] == ""


def test_the_rows_of_a_file_are_answered_in_order_in_as_many_requests_as_they_need(headgate: Headgate) -> None:
    lines = [f"{n},{n + 1},{n + 2}" for n in range(2_500)]
    Path("rows.csv").write_text("\n".join(["a,b,c", *lines]))
    code, out, err = headgate("predict", "fraud", "--rows", "rows.csv", "--version", "1", "-o", "json")
    found = json.loads(out)
    expected = [2 * value for n in range(2_500) for value in (n, n + 1, n + 2)]
    assert (code, found["outputs"]["y"], found["shapes"]) == (0, expected, {"y": [2_500, 3]}), err
    code, out, _ = headgate("predict", "fraud", "--rows", "rows.csv")
    assert (code, out.splitlines()[-1].split(maxsplit=1)[0]) == (0, "2500")


def test_columns_of_a_file_go_to_the_inputs_of_their_names(headgate: Headgate) -> None:
    rows = [dict(zip(MIXED, values, strict=True)) for values in zip(*MIXED.values(), strict=True)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, out, err = headgate("predict", "mixed", "--rows", "rows.jsonl", "-o", "json")
    assert code == 0, err
    assert json.loads(out)["outputs"] == {f"{name}_out": values for name, values in MIXED.items()}
    out = headgate("predict", "mixed", "--rows", "rows.jsonl")[1]
    assert out.splitlines()[-1].split()[:4] == ["2", "-1", "255", "nan"]


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        ("a,b,c\n1,2,3\n1,x,3\n", 2, "--rows rows.csv: line 3, column b: 'x' is not a number"),
        ('{"a": 1}\n{oops', 2, "--rows rows.csv cannot be read as CSV, JSON lines, Parquet or NPY: line 2"),
        ("a,b\n1,2\n", 2, "expected the shape [-1, 3], where -1 is any size, got [1, 2]; the columns are a, b"),
        (None, 3, "there is no file rows.csv"),
    ],
)
def test_a_file_of_rows_that_does_not_fit_is_refused_with_the_place(
    headgate: Headgate, content: str | None, code: int, reason: str
) -> None:
    if content is not None:
        Path("rows.csv").write_text(content)
    found, _, err = headgate("predict", "fraud", "--rows", "rows.csv")
    assert (found, reason in err) == (code, True), err


def test_a_table_shows_the_begin_of_a_large_output_and_how_much_more_there_is() -> None:
    wide = Tensor("y", "INT32", (1, 1_000), tuple(range(1_000)))
    assert table_text(wide).endswith(f"19, ... and {1_000 - MAX_SHOWN_VALUES} more; -o json has all")
    high = Tensor("y", "INT32", (500, 2), tuple(range(1_000)))
    assert table_text(high).splitlines()[:2] == ["0, 1", "2, 3"]
    assert table_text(high).splitlines()[-1] == f"... and {500 - MAX_SHOWN_ROWS} more; -o json has all"
    deep = Tensor("y", "INT32", (1, 2, 2), (1, 2, 3, 4))
    assert table_text(deep) == "[1, 2], [3, 4]"
