"""`headgate doctor` checks the signed files of the live versions, with a real registry and a real store."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.artifacts.keys import create_keys
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store, path
from headgate.cli.live_artifacts import check_live_artifacts
from headgate.cli.session import HOME
from headgate.client.stubs import Stubs
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.cli.test_release_verbs import Headgate, headgate
from tests.deployer.world import World, phase_is

__all__ = ["headgate"]

NAME = "models/fraud/versions/1"
FILES = {"model.onnx": b"the network", "training.json": b"{}"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / HOME / "artifacts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / HOME


@pytest.fixture
def artifact(home: Path) -> facts.Artifact:
    return seal(open_store((home / "artifacts").as_uri()), FILES, NAME, create_keys(home / "keys"))


@pytest.fixture
def world(tmp_path: Path, home: Path, artifact: facts.Artifact) -> Iterator[World]:
    """Version 1 of fraud is live, in a folder of `headgate up`."""
    world = World(tmp_path, home / "keys")
    world.start()
    (home / "up.json").write_text(json.dumps({"ports": {"registry": world.registry_port}}))
    world.pass_gate(1, artifact=artifact)
    world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
    yield world
    world.stop()


def artifact_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if "artifacts:" in line]


def blob(home: Path, artifact: facts.Artifact, name: str) -> Path:
    digests = {file.name: file.sha256 for file in artifact.files} | {"the manifest": artifact.manifest_sha256}
    return home / "artifacts" / path(digests[name])


def flip_a_bit(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def replace_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", ["model.onnx", "training.json", "the manifest"])
@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink, replace_by_a_folder])
def test_the_doctor_names_the_version_and_the_file_that_is_damaged(
    name: str, damage: Callable[[Path], None], world: World, home: Path, artifact: facts.Artifact, headgate: Headgate
) -> None:
    (line,) = artifact_lines(headgate("doctor")[1])
    assert line.startswith("ok ")
    assert line.endswith("live versions that are as they were signed: 1")
    damage(blob(home, artifact, name))
    code, out, _ = headgate("doctor")
    (line,) = artifact_lines(out)
    assert line.startswith(f"WRONG  artifacts: fraud/1: {name}: ")
    assert code == 1


def test_the_doctor_reports_a_live_version_that_no_trusted_key_has_signed(
    world: World, home: Path, headgate: Headgate
) -> None:
    shutil.rmtree(home / "keys")
    create_keys(home / "keys")
    (line,) = artifact_lines(headgate("doctor")[1])
    assert line.startswith("WRONG  artifacts: fraud/1: the manifest ")
    assert "is refused: no trusted key has signed it; it names the key " in line
    assert "copy its .pub file into trusted/" in line


def test_the_doctor_says_so_when_it_cannot_ask_for_the_live_versions(
    world: World, home: Path, headgate: Headgate
) -> None:
    (home / "up.json").write_text(json.dumps({"ports": {"registry": 1}}))
    (line,) = artifact_lines(headgate("--registry", "127.0.0.1:1", "doctor")[1])
    assert line.startswith("WRONG  artifacts: the live versions cannot be checked: the registry at 127.0.0.1:1")


def test_the_versions_of_another_registry_are_not_looked_for_in_this_folder(
    world: World, home: Path, headgate: Headgate
) -> None:
    (home / "up.json").unlink()
    (line,) = artifact_lines(headgate("doctor")[1])
    assert line.startswith("ok ")
    assert "no version is checked" in line


def test_a_check_reads_no_more_versions_than_its_limit(world: World, home: Path) -> None:
    with Stubs(f"127.0.0.1:{world.registry_port}", "") as stubs:
        checked = check_live_artifacts(stubs, home / "artifacts", home / "keys", None, limit=0)
        assert (checked.versions, checked.more) == (0, True)
        assert not check_live_artifacts(stubs, home / "artifacts", home / "keys", None, limit=1).more
