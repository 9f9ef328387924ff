"""The servers that answer predictions in the measurements: Headgate with a canary at 95/5, and its peers.

All serve the same ONNX file with one thread. A peer takes part when its environment is there: `make bench` makes it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.bench.processes import free_port, server
from tests.bench.rest_material import MODEL, WIDTH, network
from tests.bench.results import Results
from tests.bench.triton_server import ENVIRONMENT, is_there, running_triton
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MLSERVER_PROGRAM = ROOT / ".venv-mlserver" / "bin" / "mlserver"
RUNTIME = Path(__file__).with_name("mlserver_runtime.py")

HEADGATE, MLSERVER, TRITON = "headgate", "MLServer", "Triton"


class Served(NamedTuple):
    who: str
    rest_port: int
    grpc_port: int
    pid: int


def running_servers(running: ExitStack, results: Results, cache: Path) -> list[Served]:
    """The servers, Headgate first. `running` ends them. The results note which peer is missing."""
    servers = [running.enter_context(_headgate())]
    results.versions |= {name: version(name) for name in ("h2corn", "onnxruntime")}
    if MLSERVER_PROGRAM.exists():
        servers.append(running.enter_context(_mlserver(cache)))
        results.versions[MLSERVER] = installed(MLSERVER_PROGRAM.parents[1], "mlserver")
    else:
        results.notes.append(f"{MLSERVER_PROGRAM.parents[1].name} is missing, so {MLSERVER} is no peer here")
    if is_there():
        triton = running.enter_context(running_triton(cache, MODEL, network(), WIDTH))
        servers.append(Served(TRITON, triton.rest_port, triton.grpc_port, triton.pid))
        results.versions["nvidia-pytriton"] = installed(ENVIRONMENT, "nvidia_pytriton")
    else:
        results.notes.append(f"{ENVIRONMENT.name} has no Triton, so {TRITON} is no peer here")
    return servers


def installed(environment: Path, package: str) -> str:
    """The version of a package in another environment."""
    (found,) = environment.glob(f"lib/python*/site-packages/{package}-*.dist-info")
    return found.name.removesuffix(".dist-info").partition("-")[2]


@contextmanager
def _headgate() -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.bench.gateway_process"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        rest_port, grpc_port = map(int, process.stdout.readline().split())
        yield Served(HEADGATE, rest_port, grpc_port, process.pid)
        process.stdin.close()


@contextmanager
def _mlserver(cache: Path) -> Iterator[Served]:
    folder = cache / "mlserver"
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "model.onnx").write_bytes(network())
    (folder / "mlserver_runtime.py").write_text(RUNTIME.read_text())
    settings = {"debug": False, "host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": MODEL,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(folder / "model.onnx")},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    with server([MLSERVER_PROGRAM, "start", folder], {}, ports["http_port"], cache / "mlserver.log") as pid:
        _await_model(ports["http_port"])
        yield Served(MLSERVER, ports["http_port"], ports["grpc_port"], pid)


def _await_model(port: int) -> None:
    def is_ready() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/v2/models/{MODEL}/ready") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    until(is_ready, "MLServer's model")
