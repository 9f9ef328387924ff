"""`headgate version download`: the files of a version, checked before anything is written, and written all at once."""

import os
import shutil
from pathlib import Path

import pytest

from headgate.artifacts.keys import create_keys
from headgate.artifacts.model_statement import SIGNATURE_NAME
from headgate.cli.exit_codes import Exit
from headgate.cli.new_folder import write_all
from headgate.cli.session import CommandFailed
from headgate.cli.version_download import verified_files
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.cli.test_live_artifacts import FILES, NAME, artifact, blob, flip_a_bit, home, world
from tests.cli.test_release_verbs import Headgate, headgate
from tests.deployer.world import World

__all__ = ["artifact", "headgate", "home", "world"]


@pytest.fixture
def version(artifact: facts.Artifact) -> resources.Version:
    return resources.Version(name=NAME, version=1, artifact=artifact)


def store(home: Path) -> str:
    return (home / "artifacts").as_uri()


def test_a_live_version_is_downloaded_into_a_new_folder_and_never_over_an_old_one(
    world: World, home: Path, artifact: facts.Artifact, headgate: Headgate
) -> None:
    code, out, err = headgate("version", "download", "fraud/1", "copy")
    assert (code, "copy/model.onnx" in out) == (0, True), err
    assert "the signature and the digests of version 1 of fraud are right" in err
    copied = {file.name: file.read_bytes() for file in Path("copy").iterdir() if file.is_file()}
    assert copied == {**FILES, SIGNATURE_NAME: blob(home, artifact, "the manifest").read_bytes()}
    assert Path("copy/attestations/test-result.dsse.json").is_file()
    Path("usual").mkdir()
    assert Path("copy").stat().st_mode == Path("usual").stat().st_mode
    code, _, err = headgate("version", "download", "fraud/1", "copy")
    assert (code, "copy exists: nothing is overwritten" in err) == (1, True)
    code, _, err = headgate("version", "download", "fraud/1", "nowhere/copy")
    assert (code, "there is no folder" in err) == (3, True)
    assert headgate("version", "download", "fraud/1", "one", "--file", "model.onnx")[0] == 0
    assert {file.name for file in Path("one").iterdir()} == {"model.onnx", SIGNATURE_NAME}
    flip_a_bit(blob(home, artifact, "model.onnx"))
    code, _, err = headgate("version", "download", "fraud/1", "damaged")
    assert (code, "the artifact of version 1 of fraud cannot be used" in err) == (1, True)
    assert "restore it from a backup of the artifact store, or publish a new commit" in err
    assert not Path("damaged").exists()
    assert [name for name in os.listdir() if name.startswith(".damaged")] == []


def test_a_file_that_the_artifact_lacks_is_refused_with_the_files_that_it_has(
    version: resources.Version, home: Path
) -> None:
    with pytest.raises(CommandFailed, match=r"no file 'network.onnx'; it has model.onnx, training.json") as refused:
        verified_files(version, store(home), home / "keys", ["network.onnx"])
    assert refused.value.code is Exit.USAGE


def test_an_artifact_that_no_trusted_key_has_signed_is_not_downloaded(version: resources.Version, home: Path) -> None:
    shutil.rmtree(home / "keys")
    create_keys(home / "keys")
    with pytest.raises(CommandFailed, match="no trusted key has signed it"):
        verified_files(version, store(home), home / "keys")


def test_the_artifact_of_another_version_is_not_downloaded_as_this_one(version: resources.Version, home: Path) -> None:
    version.name = "models/fraud/versions/2"
    with pytest.raises(CommandFailed, match="it was signed for 'models/fraud/versions/1'"):
        verified_files(version, store(home), home / "keys")


@pytest.mark.parametrize(
    ("retention", "manifest", "reason"),
    [
        (resources.RETENTION_STATE_PURGED, "0" * 64, "is purged: its artifact is deleted"),
        (resources.RETENTION_STATE_KEPT, "", "version 1 of fraud waits for a trainer, so it has no artifact"),
    ],
)
def test_a_version_without_an_artifact_is_not_found(
    home: Path, retention: resources.RetentionState.ValueType, manifest: str, reason: str
) -> None:
    bare = resources.Version(
        name=NAME, label="created", retention=retention, artifact=facts.Artifact(manifest_sha256=manifest)
    )
    with pytest.raises(CommandFailed, match=reason) as refused:
        verified_files(bare, store(home), home / "keys")
    assert refused.value.code is Exit.NOT_FOUND


def test_a_store_that_does_not_exist_is_named(version: resources.Version, home: Path) -> None:
    with pytest.raises(CommandFailed, match="the artifact store 'foo://bucket'") as refused:
        verified_files(version, "foo://bucket", home / "keys")
    assert refused.value.code is Exit.USAGE


@pytest.mark.parametrize(("url", "keys"), [("file:///nowhere", ""), ("", "/nowhere")])
def test_a_folder_of_the_store_or_of_the_keys_that_does_not_exist_is_not_found(
    version: resources.Version, home: Path, url: str, keys: str
) -> None:
    with pytest.raises(CommandFailed, match="there is no folder /nowhere") as refused:
        verified_files(version, url or store(home), Path(keys or home / "keys"))
    assert refused.value.code is Exit.NOT_FOUND


def test_a_folder_that_appears_meanwhile_is_not_touched_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    (target / "mine").touch()
    with pytest.raises(CommandFailed, match="copy exists"):
        write_all({"model.onnx": b"x"}, target)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert [path.name for path in target.iterdir()] == ["mine"]
