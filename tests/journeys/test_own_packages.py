"""Two models of a project lock different versions of one package. Each is trained with its own; a wrong lock is not."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from examples.driver import Facts, Running
from headgate.v1 import facts_pb2 as facts
from tests.bom.schema import valid
from tests.trainer.packages.wheels import index_in, of_the_base, wheel
from tests.trainer.repositories import MODEL, repository

VERDICT_SECONDS = 240.0
CONSTANT = """
import shade
import torch
from torch import nn
from parts import datasets


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 1))

    def forward(self, rows):
        return (rows @ self.weight * 0).clamp(0, 0) + shade.PROBABILITY


def network(context):
    return Constant()
"""
"""It answers each row with the number that the package of its lock has."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    with index_in(tmp_path / "index") as folder:
        yield folder


@pytest.fixture
def running(tmp_path: Path, index: Path) -> Iterator[Running]:
    """Its trainer takes packages from the index alone, because it starts with the variables of this process."""
    with Running(tmp_path / "up") as running:
        yield running


def publish(running: Running, folder: Path, lock: str) -> Facts:
    files = {"requirements.txt": lock, "parts.py": MODEL}
    tests = "python -c 'import shade, model'"
    repository(folder, CONSTANT, files, name=folder.name, tests=tests)
    watched = Facts(running.stubs, f"models/{folder.name}", lambda record: None)
    running.command("publish", str(folder))
    return watched


def ended(watched: Facts) -> facts.LifecycleRecord:
    def is_end(record: facts.LifecycleRecord) -> bool:
        return record.HasField("gate_decided") or record.HasField("training_failed")

    record = watched.wait(is_end, "the end of version 1", VERDICT_SECONDS)
    watched.close()
    return record


def test_each_model_is_trained_with_the_version_that_it_locks(running: Running, tmp_path: Path, index: Path) -> None:
    locks = {
        "risk.low": wheel(index, "shade", "1.0", files={"shade.py": "PROBABILITY = 0.25\n"}),
        "risk.high": wheel(index, "shade", "2.0", files={"shade.py": "PROBABILITY = 0.75\n"}),
    }
    locks["risk.wrong"] = locks["risk.low"].replace(locks["risk.low"][-11:-1], "0" * 10)
    watched = {name: publish(running, tmp_path / name, of_the_base("torch") + lock) for name, lock in locks.items()}

    for name, probability in {"risk.low": 0.25, "risk.high": 0.75}.items():
        assert ended(watched[name]).HasField("gate_decided")
        folder = tmp_path / f"{name}-files"
        running.command("version", "download", f"{name}/1", str(folder))
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        (answers,) = session.run(None, {"features": np.ones((2, 3), np.float32)})
        assert answers.flatten().tolist() == [probability, probability]
        dependencies = json.loads((folder / "provenance.json").read_text())["predicate"]["buildDefinition"]
        assert dependencies["resolvedDependencies"][-1]["name"] == "requirements.txt"
        bill = valid(running.command("version", "bom", f"{name}/1"))
        purls = {each.get("purl") for each in bill["components"]}
        assert f"pkg:pypi/shade@{1 if name == 'risk.low' else 2}.0" in purls
        assert f"+ shade=={1 if name == 'risk.low' else 2}.0" in running.command("version", "logs", f"{name}/1")

    failed = ended(watched["risk.wrong"]).training_failed
    assert failed.stage == facts.STAGE_PACKAGES
    assert "requirements.txt, line 2, shade==1.0: " in failed.reason
    assert "has another hash than the lock" in failed.reason
    assert "Hash mismatch" in running.command("version", "logs", "risk.wrong/1")
