"""An unmodified tritonclient, in an environment of its own: it and our generated code cannot share a process."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.gateway import networks
from tests.gateway.stage import canary, stage

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-tritonclient/bin/python"
SESSION = Path(__file__).with_name("triton_session.py")
SESSION_SECONDS = 60


@pytest.fixture(scope="module")
def seen():
    if not PYTHON.exists():
        missing = f"{PYTHON.relative_to(ROOT)} is missing; make it with: make test-setup"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with stage({("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(2.0)}) as gateway:
        gateway.serve(live=1, release=canary(5_000, epoch=3))
        done = subprocess.run(
            [PYTHON, SESSION, gateway.address], capture_output=True, text=True, timeout=SESSION_SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_finds_the_server_and_the_model_ready(seen):
    assert (seen["live"], seen["ready"], seen["server"]) == (True, True, "headgate")
    assert seen["model_ready"] == [True, True, False]


def test_it_reads_the_signature(seen):
    assert seen["inputs"] == [["x", "FP32", [-1, 3]]]
    assert seen["versions"] == ["1", "2"]


def test_it_gets_predictions_with_the_arm_that_answered(seen):
    assert seen["y"] == [[0, 2, 4], [6, 8, 10]]
    assert seen["id"] == "r-7"
    assert seen["arm"] in ("stable", "candidate")


def test_its_parameter_and_its_header_route_alike(seen):
    assert seen["by_parameter"] == seen["by_header"]
    assert set(seen["by_parameter"]) == {"1", "2"}


def test_it_is_told_that_a_model_is_unknown(seen):
    assert seen["unknown"] == "StatusCode.NOT_FOUND"
