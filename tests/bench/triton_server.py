"""Starts NVIDIA Triton, the C++ server as the wheel nvidia-pytriton has it, with one ONNX file in its Python backend.

The wheel lacks Triton's own ONNX Runtime backend, which would be faster.
"""

import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.bench.processes import free_port, server
from tests.waiting import until

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-triton"
PACKAGES = ENVIRONMENT / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
SERVER = PACKAGES / "pytriton" / "tritonserver"
MODEL_CODE = Path(__file__).with_name("triton_model.py")
CONFIGURATION = """
backend: "python"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, %(inputs)d ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


class Triton(NamedTuple):
    pid: int
    rest_port: int
    grpc_port: int


def is_there() -> bool:
    return SERVER.exists()


@contextmanager
def running_triton(cache: Path, model: str, network: bytes, inputs: int) -> Iterator[Triton]:
    """Triton with this model, which takes `x` with so many columns and answers `y`. Raises RuntimeError."""
    folder = cache / "triton"
    shutil.rmtree(folder, ignore_errors=True)
    version = folder / "models" / model / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(network)
    (version / "packages").symlink_to(PACKAGES)
    shutil.copy(MODEL_CODE, version / "model.py")
    (version.parent / "config.pbtxt").write_text(CONFIGURATION % {"inputs": inputs})
    shutil.copytree(SERVER / "backends", folder / "backends")
    stubs = SERVER / "python_backend_stubs" / f"3.{sys.version_info.minor}"
    shutil.copy(stubs / "triton_python_backend_stub", folder / "backends" / "python")
    rest_port, grpc_port = free_port(), free_port()
    command = [
        SERVER / "bin" / "tritonserver",
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={folder / 'backends'}",
        f"--http-port={rest_port}",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
        "--log-info=false",
    ]
    libraries = f"{PACKAGES / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    with server(command, {"LD_LIBRARY_PATH": libraries}, grpc_port, cache / "triton.log") as pid:
        until(lambda: _is_ready(rest_port, model), "Triton's model")
        yield Triton(pid, rest_port, grpc_port)


def _is_ready(port: int, model: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/models/{model}/ready") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
