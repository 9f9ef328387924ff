"""No process imports a library that it does not need: an idle service holds none, and a side process starts fast."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.late import LOADED_BY_COLLECTION
from tests.tls import Authority

APPS = tuple(f"services.{name}.app" for name in ("registry", "evaluator", "deployer", "gateway"))
LATE = ("onnxruntime", "onnx", "torch", "cryptography", "jwt", "kafka", "redis", "opentelemetry")
"""Imported by the first load of a version, and for TLS, Kafka, Redis and traces."""
WITHOUT_TORCH = ("services.trainer.app", "services.trainer.check", "services.trainer.child.importing")
"""The trainer, `headgate check`, and the process that inspects an imported file. Torch takes two seconds and 200 MB."""
IMPORT = """
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    print(*(f"{{module}} imports {{name}}" for name in {names} if name in sys.modules), sep="\\n")
"""


def imported(modules: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    script = IMPORT.format(modules=modules, names=names)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if line]


def test_no_service_imports_at_its_start_what_only_some_work_needs():
    assert imported(APPS, LATE) == []


SECURED = """
import sys
from pathlib import Path
from services.registry import app
from services.registry.settings import Settings
log, pair = sys.argv[1:]
certificate = {{"tls_certificate": Path(pair), "tls_key": Path(pair)}}
running = app.build(Settings(log=log, port=0, authentication=True, **certificate))
running.start()
print(*(name for name in {names} if name in sys.modules))
running.stop(2)
"""


def test_a_registry_with_tls_that_asks_for_tokens_holds_no_library_of_cryptography(tmp_path: Path):
    pair = Authority.new(tmp_path, "authority").server_store(tmp_path)
    command = [sys.executable, "-c", SECURED.format(names=LATE), f"sqlite://{tmp_path}/log.db", str(pair)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.split() == []


def test_nothing_of_the_trainer_imports_torch_but_the_training_process():
    assert imported(WITHOUT_TORCH, ("torch",)) == []


def test_no_test_file_imports_at_its_head_what_takes_seconds_to_load(pytestconfig: pytest.Config):
    assert pytestconfig.stash[LOADED_BY_COLLECTION] == set()
