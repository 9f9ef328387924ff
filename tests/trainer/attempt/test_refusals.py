"""A commit that cannot be fetched or read is refused with the cause, and with what helps."""

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headgate.v1 import configuration_pb2 as configuration
from services.trainer.attempt.checkout import GitAccess, cause_of, check_out, read_configuration
from services.trainer.attempt.data_files import verified_data
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.programs.processes import end_of, run
from services.trainer.programs.workplace import foreign_environment
from tests.trainer.remote import no_downloads
from tests.trainer.repositories import git, repository


def checked_out(source: tuple[str, str], directory: Path) -> Path:
    scratch = directory / "scratch"
    scratch.mkdir()
    return check_out(*source, scratch, GitAccess(), threading.Event())


def refusal(source: tuple[str, str], directory: Path) -> str:
    with pytest.raises(AttemptFailed) as failed:
        checked_out(source, directory)
    return failed.value.reason


def test_an_empty_repository_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    found = refusal((str(tmp_path / "empty"), "a" * 40), tmp_path)
    assert found == f"the repository {tmp_path}/empty is empty: it has no branch and no tag. Push the commit first"


def test_a_commit_that_was_not_pushed_is_to_be_pushed(tmp_path: Path) -> None:
    path, _ = repository(tmp_path / "tiny")
    found = refusal((path, "a" * 40), tmp_path)
    assert found == f"the repository {path} has no commit {'a' * 40} in any branch or tag. Push it first"


def test_a_branch_is_no_commit(tmp_path: Path) -> None:
    path, _ = repository(tmp_path / "tiny")
    assert "'main' is not a full commit hash" in refusal((path, "main"), tmp_path)


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        (
            "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
            "Please make sure you have the correct access rights\nand the repository exists.\n",
            "git@h: Permission denied (publickey).; fatal: Could not read from remote repository.; the trainer proves",
        ),
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled\n",
            "fatal: could not read Username for 'https://h': terminal prompts disabled; the trainer proves who it is",
        ),
        ("Host key verification failed.\nfatal: Could not read\n\nPlease\n", "Host key verification failed.; fatal: C"),
        ("fatal: not a git repository\n", "fatal: not a git repository"),
        ("first\nlast", "last"),
        ("", ""),
    ],
)
def test_what_git_prints_is_quoted_by_its_cause(printed: str, cause: str) -> None:
    assert cause_of(printed).startswith(cause)
    assert ("HEADGATE_GIT_" in cause_of(printed)) == ("fatal: " in cause and "not a git" not in cause)


def with_submodule(directory: Path, address: str) -> tuple[str, str]:
    """A repository with the submodule `common`, which .gitmodules says is at the address."""
    path, _ = repository(directory / "tiny")
    repository(directory / "common")
    allowed = ("-c", "protocol.file.allow=always")
    git(directory / "tiny", *allowed, "submodule", "--quiet", "add", str(directory / "common"), "common")
    git(directory / "tiny", "config", "-f", ".gitmodules", "submodule.common.url", address)
    git(directory / "tiny", "commit", "-q", "-a", "-m", "Second")
    return path, git(directory / "tiny", "rev-parse", "HEAD")


@pytest.mark.parametrize("address", ["{}/common", "../common"])
def test_submodules_are_fetched(tmp_path: Path, address: str) -> None:
    checkout = checked_out(with_submodule(tmp_path, address.format(tmp_path)), tmp_path)
    assert (checkout / "common" / "model.py").is_file()
    # The code of the commit may write into its checkout, and reaches no other repository by it.
    assert {file.stat().st_nlink for file in checkout.rglob("*") if file.is_file()} == {1}


def test_a_submodule_that_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    found = refusal(with_submodule(tmp_path, str(tmp_path / "nowhere")), tmp_path)
    assert found.startswith("a submodule that .gitmodules names cannot be fetched: ")
    assert f"{tmp_path}/nowhere" in found


def test_a_configuration_below_the_root_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "models" / "fraud").mkdir(parents=True)
    (tmp_path / "models" / "fraud" / "headgate.toml").touch()
    with pytest.raises(AttemptFailed, match=r"no headgate.toml at its root; models/fraud/headgate.toml is not read"):
        read_configuration(tmp_path, "fraud")


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"


@pytest.mark.parametrize(
    ("uri", "content", "fault"),
    [
        ("rows.csv", LFS, "rows.csv is a pointer of Git LFS without the lines oid and size"),
        ("rows.csv", b"/annex/objects/SHA256E-s9--1.csv\n", "rows.csv is a pointer of git-annex"),
        ("rows.csv", b"other\n", "rows.csv has the SHA-256 "),
        ("rows.csv", b"1,2\n", "rows.csv has other line ends at the commit than the file with this digest"),
        ("Rows.csv", b"", "there is no file Rows.csv at the commit, but one that is spelled rows.csv"),
        ("none.csv", b"", "there is no file none.csv at the commit. Commit the file itself"),
        ("kept.csv", b"", "kept.csv is kept by DVC: kept.csv.dvc does not name one file and its MD5"),
        ("folder", b"", "the folder folder with 1 file has the SHA-256 "),
        ("module/rows.csv", b"", "module/rows.csv is in module, which is empty at the commit: a submodule without"),
        ("/data/rows.csv", b"", "/data/rows.csv lies outside the repository. Commit the file itself, or name a URL"),
        ("~/rows.csv", b"", "~/rows.csv lies outside the repository"),
        ("../rows.csv", b"", "../rows.csv leads out of the repository"),
        ("link.csv", b"", "link.csv leads out of the repository"),
        ("annexed.csv", b"", "annexed.csv is a link of git-annex"),
        (
            "s3://bucket/rows.csv",
            b"",
            "s3://bucket is not allowed by the operator of the trainer: HEADGATE_DATA_PLACES",
        ),
        ("https://host/rows.csv", b"", "https://host is not allowed by the operator"),
        (
            "ftp://host/rows.csv",
            b"",
            "expected a path in the repository or a URL that begins with one of file://, https",
        ),
        ("file:///no/rows.csv", b"", "there is no file file:///no/rows.csv on the trainer's machine"),
        ("empty", b"", "empty is a folder without files"),
        ("linked", b"", "linked has 'link.csv', which is a link or no file"),
        ("linked folder", b"", "linked folder has 'below', which is a link or no file"),
        ("pointing", b"", "pointing/rows.csv is a pointer of Git LFS, which is followed for single files"),
    ],
)
def test_a_data_file_that_cannot_be_used_is_refused_with_its_cause(
    tmp_path: Path, uri: str, content: bytes, fault: str
) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    (tmp_path / "kept.csv.dvc").touch()
    for folder in ("folder", "module"):
        (tmp_path / folder).mkdir()
    (tmp_path / "folder" / "file").touch()
    for folder in ("empty/below", "linked", "pointing"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "linked" / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "linked folder").mkdir()
    (tmp_path / "linked folder" / "below").symlink_to("/etc")
    (tmp_path / "pointing" / "rows.csv").write_text(POINTER)
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "annexed.csv").symlink_to(".git/annex/objects/x/y")
    sha256 = hashlib.sha256(b"1,2\r\n").hexdigest()
    parsed = configuration.ModelConfiguration(
        data=[configuration.DataFile(name=name, uri=uri, sha256=sha256) for name in ("first", "second")]
    )
    with pytest.raises(AttemptFailed) as failed:
        verified_data(tmp_path, parsed, no_downloads(tmp_path))
    first, second = failed.value.reason.splitlines()
    assert first.startswith(f"data.first: {fault}")
    assert second.startswith(f"data.second: {fault}")


@pytest.mark.parametrize("name", ["secret", "folder"])
def test_a_repository_learns_no_digest_of_a_file_on_the_trainers_machine(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("of the trainer")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("of the trainer")
    found = fault_of((tmp_path / name).as_uri(), tmp_path)
    assert "has another SHA-256 than " + "0" * 64 in found
    assert re.findall("[0-9a-f]{64}", found.replace("0" * 64, "")) == []


@pytest.mark.parametrize("name", ["keys/signing.key", "keys", "git-credentials", "link"])
def test_what_the_trainer_hides_from_a_repository_is_no_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "keys").mkdir()
    for each in ("keys/signing.key", "git-credentials"):
        (tmp_path / each).write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "keys" / "signing.key")
    found = fault_of((tmp_path / name).as_uri(), tmp_path, (tmp_path / "keys", tmp_path / "git-credentials"))
    assert "belongs to the trainer, and no repository reads it" in found


def fault_of(uri: str, tmp_path: Path, hidden: Sequence[Path] = ()) -> str:
    checkout = tmp_path / "checkout"
    checkout.mkdir(exist_ok=True)
    file = configuration.DataFile(name="rows", uri=uri, sha256="0" * 64)
    parsed = configuration.ModelConfiguration(data=[file])
    with pytest.raises(AttemptFailed) as failed:
        verified_data(checkout, parsed, no_downloads(tmp_path), hidden=hidden)
    return failed.value.reason


def test_a_folder_is_named_by_what_sha256sum_prints_of_its_files(tmp_path: Path) -> None:
    for name in ("images/a/1.png", "images/a-b.png", "images/B.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=tmp_path / "images", capture_output=True, text=True, check=True)
    file = configuration.DataFile(name="images", uri="images", sha256=printed.stdout.split()[0])
    parsed = configuration.ModelConfiguration(data=[file])
    assert verified_data(tmp_path, parsed, no_downloads(tmp_path)) == {"images": tmp_path / "images"}


@pytest.mark.parametrize(
    ("exit_code", "end"),
    [
        (1, "ended with exit code 1 and gave no reason. Foreign code ended it, as os._exit() does. Let each function"),
        (0, "ended with exit code 0 and gave no reason. Foreign code ended it, as os._exit() does. Let each function"),
        (137, "was ended by signal 9 (SIGKILL). Headgate did not send it. The system sends it when memory runs out"),
        (134, "was ended by signal 6 (SIGABRT): native code that it called has crashed"),
        (143, "was ended by signal 15 (SIGTERM)"),
        (255, "was ended by signal 127 (unknown)"),
    ],
)
def test_the_end_of_a_process_without_a_reason_follows_from_its_exit_code(exit_code: int, end: str) -> None:
    assert end_of(exit_code).startswith(end)


def test_the_log_of_tests_that_ran_out_of_memory_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    ended = run(command, tmp_path, foreign_environment(tmp_path), tmp_path / "log", 60, threading.Event())
    assert (ended.exit_code, "ended by SIGKILL, as when memory runs out" in ended.log_tail) == (137, True)
