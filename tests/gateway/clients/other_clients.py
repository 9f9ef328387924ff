"""`make test-clients`: unmodified clients of other projects call the gateway's two servers.

Each runs in an environment of its own, which is too large to be made for every run of the tests.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.gateway import networks
from tests.gateway.rest.serving import running_rest
from tests.waiting import PATIENCE_SECONDS

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DOUBLED = ["r-7", [["y", [[0, 2, 4], [6, 8, 10]]]]]
RETURNED = [
    ["i64_out", [1, -1]],
    ["u8_out", [0, 255]],
    ["f64_out", [0.1, 1e300]],
    ["flag_out", [True, False]],
    ["text_out", ["a", "caf\u00e9"]],
]
REFUSAL = "input 'z': the model has no such input; it takes 'x'"


@pytest.fixture(scope="module")
def rest():
    with running_rest({("fraud", 1): networks.affine(2.0), ("mixed", 1): networks.mixed()}) as running:
        for model in ("fraud", "mixed"):
            running.gateway.serve(model, live=1)
        yield running


def session(rest, client):
    python, script = ROOT / f".venv-{client}/bin/python", HERE / f"{client}_session.py"
    command = [python, script, rest.gateway.address, f"127.0.0.1:{rest.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kserves_clients_predict_over_both_servers(rest):
    for server, seen in session(rest, "kserve").items():
        assert seen["ready"] == [True, True], server
        assert seen["models"] == [True, False], server
        assert seen["json"] == seen["binary"] == DOUBLED, server
        assert seen["mixed"] == [RETURNED, RETURNED], server
        assert REFUSAL in seen["refused"], server


def test_mlservers_codecs_predict_over_both_servers(rest):
    flat = [DOUBLED[0], [["y", [0, 2, 4, 6, 8, 10]]]]
    seen = session(rest, "mlserver")
    assert seen["rest"] == {"json": flat, "mixed": [RETURNED], "refused": REFUSAL}
    assert seen["grpc"] == {"json": flat, "binary": flat, "mixed": [RETURNED, RETURNED], "refused": REFUSAL}
