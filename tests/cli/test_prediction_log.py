"""`headgate prediction` reads the prediction log without any service."""

import json
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from headgate.cli import prediction_log as command
from headgate.cli.doctor import unrecorded_predictions
from headgate.log.open import open_log
from headgate.log.port import Record, Tail
from headgate.log.startup import create_declared
from headgate.telemetry.predictions import message_of
from headgate.v1 import predictions_pb2 as predictions
from headgate.v1 import telemetry_pb2 as telemetry
from tests.cli.running import Headgate, run_headgate
from tests.waiting import PATIENCE_SECONDS

NAN_AND_TWO = bytes.fromhex("0000c07f00000040")


@pytest.fixture
def headgate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Headgate:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite://{tmp_path}/log.db"
    log = open_log(url)
    create_declared(log)
    log.append_all([message_of(recorded(number)) for number in (1, 2, 3)])
    log.close()
    return partial(run_headgate, monkeypatch, capsys, f"--log={url}")


def recorded(number: int) -> predictions.Prediction:
    found = predictions.Prediction(
        id=str(number),
        model="fraud",
        version=number,
        arm=telemetry.ARM_CANDIDATE,
        request_id=f"r-{number}",
        at_ms=1_764_000_000_000,
        duration_us=1_500,
        rate=0.5,
    )
    found.inputs.add(name="features", datatype="FP32", shape=[1, 2], size_bytes=8, raw=NAN_AND_TWO)
    found.inputs.add(name="image", datatype="UINT8", shape=[1, 900_000], size_bytes=900_000, sha256=b"\xab" * 32)
    found.outputs.add(name="class", datatype="BYTES", shape=[1], size_bytes=7, raw=b"\x03\x00\x00\x00yes")
    return found


def test_the_newest_predictions_are_listed_with_their_values(headgate: Headgate) -> None:
    code, printed, _ = headgate("prediction", "list", "fraud", "--last", "2", "-o", "json")
    found = json.loads(printed)
    assert (code, [each["version"] for each in found]) == (0, [2, 3])
    assert found[0]["inputs"][0]["data"] == ["NaN", 2.0]
    assert (found[0]["inputs"][1]["sha256"], "data" in found[0]["inputs"][1]) == ("ab" * 32, False)
    assert (found[0]["outputs"][0]["data"], found[0]["arm"]) == (["yes"], "ARM_CANDIDATE")


def test_a_table_shows_a_prediction_in_a_line(headgate: Headgate) -> None:
    code, printed, _ = headgate("prediction", "list", "fraud")
    assert (code, len(printed.splitlines())) == (0, 4)
    assert all(text in printed for text in ("v3", "candidate", "r-3", "1.5", "features [nan, 2.0]", "class [yes]"))
    assert "image 1x900000 of UINT8, 900000 bytes" in printed


def test_a_model_without_predictions_says_how_to_record_them(headgate: Headgate) -> None:
    code, printed, error = headgate("prediction", "list", "churn")
    assert (code, printed, "HEADGATE_PREDICTION_RATE" in error) == (0, "", True)


def test_a_name_that_is_no_models_is_refused(headgate: Headgate) -> None:
    code, _, error = headgate("prediction", "list", "fraud/1")
    assert (code, "expected the name of a model" in error) == (2, True)


def test_the_doctor_names_what_was_dropped_and_why() -> None:
    lines = [
        'headgate_prediction_log_dropped_total{reason="rate"} 3.0',
        'headgate_prediction_log_dropped_total{reason="log"} 0.0',
        "headgate_prediction_log_written_total 5.0",
    ]
    (found,) = unrecorded_predictions("gateway", lines)
    assert (found.what, "3 predictions dropped since the start (rate 3)" in found.detail) == (
        "gateway prediction log",
        True,
    )
    assert not list(unrecorded_predictions("gateway", lines[1:]))


@pytest.mark.parametrize("output", ["json", "yaml", "table"])
def test_a_watch_prints_the_predictions_that_are_recorded_after_its_start(
    headgate: Headgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    def polled(tail: Tail, wait_seconds: float) -> Sequence[Record]:
        """What is recorded while the watch waits; then somebody presses Ctrl-C."""
        if recorded_now:
            raise KeyboardInterrupt
        with closing(open_log(f"sqlite://{tmp_path}/log.db")) as log:
            log.append(message_of(recorded(4)))
        recorded_now.append(4)
        return tail.poll(PATIENCE_SECONDS)

    recorded_now: list[int] = []
    monkeypatch.setattr(command, "polled", polled)
    _, printed, _ = headgate("prediction", "watch", "fraud", "-o", output)
    assert ("r-4" in printed, "r-3" in printed) == (True, False)
    if output == "json":
        assert json.loads(printed)["request_id"] == "r-4"
