"""A service that has nothing to do holds no library in memory that only some work or some setting needs."""

import subprocess
import sys

APPS = tuple(f"services.{name}.app" for name in ("registry", "evaluator", "deployer", "gateway"))
LATE = ("onnxruntime", "onnx", "torch", "cryptography", "jwt", "kafka", "redis", "opentelemetry")
"""Imported by the first load of a version, and for TLS, Kafka, Redis and traces."""
IMPORT = f"""
import importlib, sys
for app in {APPS}:
    importlib.import_module(app)
    print(*(f"{{app}} imports {{name}}" for name in {LATE} if name in sys.modules), sep="\\n")
"""


def test_no_service_imports_at_its_start_what_only_some_work_needs():
    found = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
    assert found.split() == []
