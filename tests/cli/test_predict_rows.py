"""`headgate predict` refuses values that its tensor cannot carry, before it sends anything."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from headgate.cli import main as command_line
from headgate.cli import predict as predict_module
from headgate.cli.predict import parse_row
from headgate.client.predict import MAX_VALUE, infer_request
from headgate.inference import grpc_predict_v2_pb2 as inference

CLOSED = ("--registry", "127.0.0.1:1", "--gateway", "127.0.0.1:1")
TOO_LARGE = ["1e400", "-1e400", "3.5e38", "nan", "NaN", "inf", "-Infinity", "9" * 50, "9" * 400, "9" * 5_000]


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error of a call that ends with the exit code for a wrong use."""
    monkeypatch.setattr("sys.argv", ["headgate", *CLOSED, *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    error = capsys.readouterr().err
    assert (ended.value.code, "Traceback" in error) == (2, False), error
    return error


@pytest.mark.parametrize("value", [*TOO_LARGE, "one"], ids=lambda value: value[:12])
def test_the_error_names_the_row_and_the_value_that_is_no_finite_number(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(monkeypatch, capsys, "predict", "fraud", "--row", "1,2", "--row", f"3,{value}")
    assert f"--row '3,{value[:12]}" in error
    assert f": '{value[:12]}" in error


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1e400", "1E+400"),
        ("3.5e38", "3.5E+38"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("9" * 400, "999"),
        ("9" * 5_000, "999"),
        ('"1e400"', "'1e400'"),
        ("[1]", "[1]"),
    ],
    ids=lambda value: value[:12],
)
def test_the_error_about_a_json_file_names_the_row_and_the_value(
    value: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.json").write_text(f"[[1, 2], [3, {value}]]")
    error = refused(monkeypatch, capsys, "predict", "fraud", "--json", str(tmp_path / "rows.json"))
    assert f"row 2: {shown}" in error


def test_a_json_row_that_is_text_is_refused_and_not_read_digit_by_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.json").write_text('[[1, 2], "34"]')
    error = refused(monkeypatch, capsys, "predict", "fraud", "--json", str(tmp_path / "rows.json"))
    assert "row 2 is str, not an array" in error


def test_the_largest_value_of_fp32_is_sent() -> None:
    row = parse_row(f"{MAX_VALUE!r},-{MAX_VALUE!r}")
    assert infer_request("fraud", [row], "features").raw_input_contents[0].hex() == "ffff7f7fffff7fff"


@pytest.mark.parametrize("number", ["9" * 10, "9" * 5_000, "٣", "3.0", "-1", ""], ids=lambda number: number[:12])
def test_a_version_number_that_cannot_exist_is_refused_before_the_call(
    number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(monkeypatch, capsys, "release", "start", f"fraud/{number}", "--environment", "production")
    assert "expected MODEL/NUMBER" in error


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's description of a model with one FP32 input. No request may follow it."""
    metadata = inference.ModelMetadataResponse(
        name="fraud", inputs=[{"name": "amount", "datatype": "FP32", "shape": [-1, 2]}]
    )
    stubs = SimpleNamespace(inference=SimpleNamespace(ModelMetadata=lambda *_, **__: metadata))
    monkeypatch.setattr(predict_module, "session", lambda context: SimpleNamespace(stubs=stubs))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("16777217", "16777217"),
        ("16777217.0", "16777217"),
        ("1.6777217e7", "16777217"),
        ("-16777217", "-16777217"),
        ("9007199254740993", "9007199254740993"),
        ("1e-50", "1e-50"),
    ],
)
@pytest.mark.usefixtures("described")
def test_a_value_that_fp32_cannot_hold_is_refused_with_the_input_the_place_and_the_value(
    value: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.json").write_text(f"[[1, 2], [3, {value}]]")
    for arguments in (["--row", "1,2", "--row", f"3,{value}"], ["--json", str(tmp_path / "rows.json")]):
        error = refused(monkeypatch, capsys, "predict", "fraud", *arguments)
        assert f"input 'amount', row 2, column 2: FP32 cannot hold {number}; the nearest" in error
