"""An unmodified tritonclient calls the gateway.

It runs in an environment of its own, because its generated code and ours cannot be imported in the same process.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.gateway import networks
from tests.gateway.harness import canary, running_gateway
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-tritonclient/bin/python"
SESSION = Path(__file__).with_name("triton_session.py")


def require_client():
    """Skips the tests of an unmodified client where its environment is not there."""
    if not PYTHON.exists():
        missing = f"{PYTHON.relative_to(ROOT)} is missing; make it with: make test-setup"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def seen():
    require_client()
    with running_gateway({("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(2.0)}) as gateway:
        gateway.serve(live=1, release=canary(5_000, epoch=3))
        done = subprocess.run(
            [PYTHON, SESSION, gateway.address], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tritonclient_sees_that_the_server_and_the_model_are_ready(seen):
    assert (seen["live"], seen["ready"], seen["server"]) == (True, True, "headgate")
    assert seen["model_ready"] == [True, True, False]


def test_tritonclient_reads_the_inputs_and_the_versions(seen):
    assert seen["inputs"] == [["x", "FP32", [-1, 3]]]
    assert seen["versions"] == ["1", "2"]


def test_tritonclient_gets_predictions_with_the_arm_that_answered(seen):
    assert seen["y"] == [[0, 2, 4], [6, 8, 10]]
    assert seen["id"] == "r-7"
    assert seen["arm"] in ("stable", "candidate")


def test_the_parameter_and_the_header_of_tritonclient_give_the_same_routing_key(seen):
    assert seen["by_parameter"] == seen["by_header"]
    assert set(seen["by_parameter"]) == {"1", "2"}


def test_tritonclient_gets_not_found_for_an_unknown_model(seen):
    assert seen["unknown"] == "StatusCode.NOT_FOUND"
