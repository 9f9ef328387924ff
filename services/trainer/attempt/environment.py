"""The versions of what decides the weights: Python, the machine, the libraries. No library is imported for it."""

import platform
from importlib.metadata import PackageNotFoundError, version

from services.trainer.packages.lock import Lock

LIBRARIES = ("torch", "numpy", "onnx", "onnxruntime", "onnxscript", "safetensors")
THREADS = 1


def training_environment(lock: Lock | None = None) -> dict[str, str]:
    """The packages of a commit's lock come before those of the trainer."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "threads": str(THREADS)}
    locked = {name: pin.version for name, pin in lock.here().items()} if lock else {}
    for library in LIBRARIES:
        try:
            found[library] = locked.get(library) or version(library)
        except PackageNotFoundError:
            found[library] = "missing"
    return found | ({"lock": f"{lock.file} sha256:{lock.digest}"} if lock else {})
