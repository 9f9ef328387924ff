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


def test_tritonclient_streams_answers_in_order_and_an_error_ends_no_stream(seen):
    first, wrong, last = seen["streamed"]
    assert (first, last) == ("s-0", "s-2")
    assert "expected shape [-1, 3]" in wrong
    assert seen["asynchronous"] == [seen["y"]]


def test_the_asyncio_client_of_triton_predicts_and_streams(seen):
    assert seen["asyncio"] == [seen["y"], ["fraud", "fraud"], ["a-0", "a-1", "a-2"]]


def test_tritonclient_reads_configuration_statistics_index_and_classes(seen):
    assert seen["config"]["input"][0]["data_type"] == "TYPE_FP32"
    assert seen["statistics"] == [True]
    assert seen["index"] == [["fraud", "1", "READY"], ["fraud", "2", "READY"]]
    assert seen["classes"] == [["4.000000:2", "2.000000:1"], ["10.000000:2", "8.000000:1"]]


def test_what_tritonclient_cannot_do_here_is_refused_with_what_to_do_instead(seen):
    for name in ("load", "unload"):
        status, message = seen[name]
        assert (status, "headgate release start" in message) == ("StatusCode.FAILED_PRECONDITION", True)
    for name in ("trace", "log", "memory"):
        assert seen[name][0] == "StatusCode.UNIMPLEMENTED"
