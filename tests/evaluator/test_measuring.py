"""A version is measured in a process of its own, and whatever happens there the service goes on."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.v1 import resources_pb2 as resources
from services.evaluator.measuring import CannotBeScored, MeasuringFailed, MeasuringProcess, NotHeld, always
from services.evaluator.score import evaluated
from tests.bench.processes import children_running
from tests.evaluator.material import artifacts_in, files_of, logistic, rows_of, sealed_files, separable

HEAVY = ("numpy", "onnx", "onnxruntime", "torch")


@pytest.fixture
def measuring(tmp_path: Path) -> MeasuringProcess:
    artifacts_in(tmp_path)
    return MeasuringProcess((tmp_path / "store").as_uri(), tmp_path / "keys")


def version_in(directory: Path, number: int, weight: float) -> resources.Version:
    files = files_of(logistic([weight, 0.0]), rows_of(*separable()))
    return sealed_files(artifacts_in(directory), directory, number, files)


def test_the_service_itself_imports_neither_numpy_nor_a_framework() -> None:
    program = f"import sys, services.evaluator.app; sys.exit(str([each for each in {HEAVY} if each in sys.modules]))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "[]"


def test_the_process_reports_what_is_measured_here(measuring: MeasuringProcess, tmp_path: Path) -> None:
    candidate, live = version_in(tmp_path, 2, 5.0), version_in(tmp_path, 1, -5.0)
    found = measuring(candidate, live)
    here = evaluated(artifacts_in(tmp_path), candidate, live, always)
    for report in (found.report, found.baseline_report, here.report, here.baseline_report):
        report.duration_ms = 0
    assert found == here


def test_a_model_that_ends_the_process_cannot_be_scored(measuring: MeasuringProcess, tmp_path: Path) -> None:
    def crash() -> bool:
        for pid in children_running("services.evaluator.child"):
            os.kill(pid, signal.SIGSEGV)
        return True

    with pytest.raises(CannotBeScored, match="ended with SIGSEGV"):
        measuring(version_in(tmp_path, 1, 5.0), None, crash)


def test_the_process_ends_once_the_evaluation_is_not_held(measuring: MeasuringProcess, tmp_path: Path) -> None:
    with pytest.raises(NotHeld):
        measuring(version_in(tmp_path, 1, 5.0), None, lambda: False)
    assert children_running("services.evaluator.child") == []


def test_a_process_that_cannot_work_is_no_fault_of_the_version(measuring: MeasuringProcess, tmp_path: Path) -> None:
    with pytest.raises(MeasuringFailed, match="ended with exit code 1"):
        replace(measuring, artifacts="nowhere")(version_in(tmp_path, 1, 5.0), None)


def test_a_measuring_that_takes_too_long_ends_while_it_is_held(measuring: MeasuringProcess, tmp_path: Path) -> None:
    with pytest.raises(CannotBeScored, match="measuring took longer than 0 s: use fewer test rows"):
        replace(measuring, limit_seconds=0.0)(version_in(tmp_path, 1, 5.0), None)
    assert children_running("services.evaluator.child") == []
