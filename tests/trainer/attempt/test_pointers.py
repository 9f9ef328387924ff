"""A data file that the commit only points to is fetched from its store, or refused; a pointer is never trained on."""

import hashlib
import threading
from pathlib import Path

import pytest

from headgate.downloads.git_lfs import store_of
from headgate.v1 import configuration_pb2 as configuration
from services.trainer.attempt.data_files import verified_data
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.remote_data import RemoteFiles
from tests.downloads.lfs_server import STORE, LfsHandler
from tests.downloads.servers import CONTENT, SHA256, Files, serving
from tests.trainer.remote import access_in

MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(CONTENT)}\n"
TO_LFS = "data.rows: rows.csv is a pointer of Git LFS at this commit: "


def data(
    checkout: Path, places: str = "", repository: str = "", *, sha256: str = SHA256, credentials: str = ""
) -> Path:
    """Where the data file of the checkout is."""
    parsed = configuration.ModelConfiguration(data=[configuration.DataFile(name="rows", uri="rows.csv", sha256=sha256)])
    trainer = checkout.with_name("trainer")
    trainer.mkdir()
    access = access_in(trainer, places, credentials=credentials)
    remote = RemoteFiles(access, trainer / "downloaded", threading.Event())
    try:
        return verified_data(checkout, parsed, remote, repository)["rows"]
    finally:
        remote.close()


def fault(checkout: Path, places: str = "", repository: str = "", *, sha256: str = SHA256) -> str:
    with pytest.raises(AttemptFailed) as failed:
        data(checkout, places, repository, sha256=sha256)
    return failed.value.reason


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    (directory / ".dvc").mkdir(parents=True)
    (directory / "rows.csv").write_text(POINTER)
    return directory


def test_the_file_of_a_pointer_comes_from_the_store_beside_the_repository(checkout: Path, tmp_path: Path) -> None:
    files = Files({f"/objects/{SHA256}": CONTENT})
    with serving(files, handler=LfsHandler) as url:
        (tmp_path / "credentials").write_text(url.replace("://", "://reader:pw@"))
        found = data(checkout, url, f"{url}/team/model.git", credentials=str(tmp_path / "credentials"))
    assert (found.name, found.read_bytes()) == ("rows.csv", CONTENT)
    assert files.asked == [(f"{STORE}/objects/batch", "POST"), (f"/objects/{SHA256}", "")]
    assert [each.partition(" ")[0] for each in files.authorizations] == ["Basic", "RemoteAuth"]


def test_lfsconfig_of_the_commit_names_another_store(checkout: Path) -> None:
    with serving(Files({f"/objects/{SHA256}": CONTENT}), handler=LfsHandler) as url:
        (checkout / ".lfsconfig").write_text(f"[lfs]\n\turl = {url}{STORE}\n")
        assert data(checkout, url, "git@git.example.com:team/model.git").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("repository", "store"),
    [
        ("https://git.example.com/team/model", "https://git.example.com/team/model.git/info/lfs"),
        ("ssh://git@git.example.com:2222/team/model.git", "https://git.example.com/team/model.git/info/lfs"),
        ("git@git.example.com:team/model.git", "https://git.example.com/team/model.git/info/lfs"),
        ("/srv/git/model", ""),
        ("file:///srv/git/model", ""),
    ],
)
def test_the_store_of_a_repository_follows_from_its_address(repository: str, store: str) -> None:
    assert store_of(repository) == store


@pytest.mark.parametrize("place", [".git/lfs", "lfs"])
def test_a_repository_on_this_machine_has_its_own_store(checkout: Path, tmp_path: Path, place: str) -> None:
    kept = tmp_path / "a source" / place / "objects" / SHA256[:2] / SHA256[2:4] / SHA256
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)
    assert data(checkout, repository=(tmp_path / "a source").as_uri()).read_bytes() == CONTENT


def test_a_repository_on_this_machine_without_the_file_says_so(checkout: Path, tmp_path: Path) -> None:
    found = fault(checkout, repository=str(tmp_path / "source"))
    assert found.startswith(f"{TO_LFS}the repository has no such file in its own Git LFS store. Run `git lfs push`")


def test_a_pointer_is_never_trained_on(checkout: Path) -> None:
    found = fault(checkout, sha256=hashlib.sha256(POINTER.encode()).hexdigest())
    assert found == f"{TO_LFS}it stands for the SHA-256 {SHA256}, so write this one into headgate.toml"


def test_a_store_that_the_operator_does_not_allow_is_named(checkout: Path) -> None:
    found = fault(checkout, "https://data.example.com", "https://git.example.com/model")
    assert found.startswith(f"{TO_LFS}https://git.example.com is not allowed by the operator of the trainer: HEADGATE_")


@pytest.mark.parametrize(
    ("sha256", "path", "reason"),
    [
        ("0" * 64, "/team/model.git", "the Git LFS store does not give rows.csv: Object does not exist"),
        (SHA256, "/other.git", "the Git LFS store of rows.csv does not exist (404 Not Found)"),
        (SHA256, "/team/model.git", "rows.csv does not exist (404 Not Found"),
    ],
)
def test_a_file_that_the_store_does_not_have_is_named(checkout: Path, sha256: str, path: str, reason: str) -> None:
    (checkout / "rows.csv").write_text(POINTER.replace(SHA256, sha256))
    with serving(Files(), handler=LfsHandler) as url:
        assert fault(checkout, url, url + path, sha256=sha256).startswith(TO_LFS + reason)


def test_a_damaged_pointer_is_refused(checkout: Path) -> None:
    (checkout / "rows.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 9\n")
    assert "rows.csv is a pointer of Git LFS without the lines oid and size" in fault(checkout)


def kept_by_dvc(checkout: Path, remote: str, output: str) -> None:
    (checkout / "rows.csv").unlink()
    (checkout / "rows.csv.dvc").write_text(f"outs:\n- {output}\n  size: 9\n  path: rows.csv\n")
    (checkout / ".dvc" / "config").write_text(f"[core]\n    remote = it\n['remote \"it\"']\n    url = {remote}\n")


@pytest.mark.parametrize(
    ("output", "place"),
    [(f"md5: {MD5}\n  hash: md5", f"/dvc/files/md5/{MD5[:2]}/{MD5[2:]}"), (f"md5: {MD5}", f"/dvc/{MD5[:2]}/{MD5[2:]}")],
)
def test_what_dvc_keeps_comes_from_its_default_remote(checkout: Path, output: str, place: str) -> None:
    with serving(Files({place: CONTENT})) as url:
        kept_by_dvc(checkout, f"{url}/dvc/", output)
        found = data(checkout, f"{url}/dvc")
    assert (found.name, found.read_bytes()) == ("rows.csv", CONTENT)


def test_a_dvc_remote_on_this_machine_is_read(checkout: Path, tmp_path: Path) -> None:
    kept_by_dvc(checkout, str(tmp_path / "remote"), f"md5: {MD5}")
    (tmp_path / "remote" / MD5[:2]).mkdir(parents=True)
    (tmp_path / "remote" / MD5[:2] / MD5[2:]).write_bytes(CONTENT)
    assert data(checkout).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("remote", "output", "reason"),
    [
        ("s3://bucket/dvc", f"md5: {MD5}", "s3://bucket is not allowed by the operator"),
        ("ssh://host/dvc", f"md5: {MD5}", "expected https://host/folder"),
        ("../store", f"md5: {MD5}", "the DVC remote ../store is a folder beside the repository"),
        ("s3://bucket", f"md5: {MD5}.dir", "rows.csv.dvc names a folder"),
        ("s3://bucket", "path: other", "rows.csv.dvc does not name one file and its MD5"),
        ("s3://bucket", "[", "rows.csv.dvc does not name one file and its MD5"),
    ],
)
def test_what_dvc_keeps_elsewhere_is_refused_in_words(checkout: Path, remote: str, output: str, reason: str) -> None:
    kept_by_dvc(checkout, remote, output)
    assert fault(checkout).startswith(f"data.rows: rows.csv is kept by DVC: {reason}")


def test_a_commit_without_a_default_remote_says_how_to_make_one(checkout: Path) -> None:
    kept_by_dvc(checkout, "s3://bucket", f"md5: {MD5}")
    (checkout / ".dvc" / "config").write_text("")
    assert fault(checkout).endswith("the commit has no .dvc/config with a default remote: `dvc remote add --default`")
