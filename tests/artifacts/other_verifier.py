"""What `headgate version download` writes is verified by model-signing from PyPI, and refused when it is altered.

It runs in .venv-model-signing, without any code of Headgate, so only `make test-signing` runs it.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.artifacts.keys import create_keys
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store
from headgate.cli.new_folder import write_all
from headgate.cli.version_download import verified_files
from headgate.v1 import resources_pb2 as resources
from tests.house.tree import ROOT

PROGRAM = ROOT / ".venv-model-signing/bin/model_signing"
NAME = "models/fraud/versions/3"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    key = create_keys(tmp_path / "keys")
    store = (tmp_path / "artifacts").as_uri()
    artifact = seal(open_store(store), {"model.onnx": b"graph" * 999, "training.json": b"{}"}, NAME, key, 7)
    version = resources.Version(name=NAME, version=3, artifact=artifact)
    files = verified_files(version, store, tmp_path / "keys")
    write_all({**files, "attestations/test-result.dsse.json": b"{}"}, tmp_path / "fraud-3")
    return tmp_path / "fraud-3"


def verified(folder: Path) -> bool:
    (key,) = (folder.parent / "keys/trusted").glob("*.pub")
    command = [PROGRAM, "verify", "key", folder, "--signature", folder / "model.sig", "--public_key", key]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_downloaded_version_is_verified(exported: Path) -> None:
    assert verified(exported)


def flipped(folder: Path) -> None:
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def with_another_statement(folder: Path) -> None:
    signature = (folder / "model.sig").read_text()
    at = signature.index('"payload":"') + 100
    (folder / "model.sig").write_text(signature[:at] + ("A" if signature[at] != "A" else "B") + signature[at + 1 :])


@pytest.mark.parametrize(
    "alter",
    [
        flipped,
        with_another_statement,
        lambda folder: (folder / "model.onnx").rename(folder / "network.onnx"),
        lambda folder: (folder / "training.json").unlink(),
        lambda folder: (folder / "extra.bin").write_bytes(b"x"),
    ],
)
def test_an_altered_one_is_refused(exported: Path, alter: Callable[[Path], object]) -> None:
    alter(exported)
    assert not verified(exported)
