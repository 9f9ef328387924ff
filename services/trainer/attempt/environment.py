"""The versions of what decides the weights: Python, the machine, the libraries. No library is imported for it."""

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "numpy", "onnx", "onnxruntime", "onnxscript", "safetensors")
THREADS = 1


def training_environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine(), "threads": str(THREADS)}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "missing"
    return found
