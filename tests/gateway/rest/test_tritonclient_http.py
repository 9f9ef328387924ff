"""An unmodified tritonclient calls the REST server, by its plain and by its asyncio client."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.gateway import networks
from tests.gateway.rest.serving import running_rest
from tests.gateway.test_tritonclient import PYTHON, require_client
from tests.waiting import PATIENCE_SECONDS

SESSION = Path(__file__).with_name("triton_http_session.py")
TWICE = [[0, 2, 4], [6, 8, 10]]


@pytest.fixture(scope="module")
def seen():
    require_client()
    with running_rest({("fraud", 1): networks.affine(2.0), ("words", 1): networks.words()}) as rest:
        rest.gateway.serve("fraud", live=1)
        rest.gateway.serve("words", live=1)
        command = [PYTHON, SESSION, f"127.0.0.1:{rest.port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_sees_the_server_and_its_models(seen):
    assert (seen["live"], seen["ready"], seen["server"]) == (True, True, "headgate")
    assert seen["model_ready"] == [True, False]
    assert seen["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]


def test_it_reads_configuration_statistics_and_index(seen):
    assert seen["config"][0] | {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]} == seen["config"][0]
    assert seen["counted"] == 1
    assert [(each["name"], each["version"], each["state"]) for each in seen["index"]] == [
        ("fraud", "1", "READY"),
        ("words", "1", "READY"),
    ]


def test_it_gets_predictions_in_every_form(seen):
    assert seen["y"] == seen["json"] == seen["default"] == TWICE
    assert seen["packed"] == [TWICE, TWICE]
    assert seen["aio"] == [TWICE] * 20
    assert seen["texts"] == ["caf\u00e9", ""]
    assert seen["classes"].startswith("4.0")
    assert (seen["id"], seen["arm"]) == ("r-7", "stable")


def test_it_gets_refusals_with_their_reason(seen):
    assert seen["unknown"] == ["404", "there is no model 'nobody'"]
    status, message = seen["load"]
    assert status == "409"
    assert "headgate release start" in message
