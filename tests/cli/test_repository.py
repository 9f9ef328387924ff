"""`headgate check` and `headgate data add`, in real folders and with the trainer's own stages."""

import hashlib
import subprocess
import tomllib
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.toml_edit import with_value
from tests.cli.running import Headgate, run_headgate
from tests.downloads.servers import Files, serving
from tests.trainer.repositories import DATA, MODEL, toml


@pytest.fixture
def headgate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Headgate:
    """Runs `headgate ARGUMENTS` and returns its exit code, its data (stdout) and its progress (stderr)."""

    return partial(run_headgate, monkeypatch, capfd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model repository that nothing was committed to yet."""
    root = tmp_path / "tiny"
    (root / "data").mkdir(parents=True)
    (root / "headgate.toml").write_text(toml())
    (root / "model.py").write_text(MODEL)
    (root / "data" / "numbers.csv").write_text(DATA)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


@pytest.mark.timeout(300)
def test_a_repository_that_would_become_a_version_passes_every_stage(headgate: Headgate, folder: Path) -> None:
    code, out, err = headgate("check", str(folder))
    assert (code, err) == (0, "")
    stages = [line.partition(":")[0] for line in out.splitlines()]
    assert stages[:6] == ["configuration", "note", "data", "tests", "training", "export"]
    assert "note: not committed yet: data/numbers.csv, headgate.toml, model.py" in out
    assert "training: 1 of 5 epochs" in out
    assert not (folder / "__pycache__").exists()


@pytest.mark.timeout(300)
def test_a_network_that_cannot_be_exported_fails_before_it_is_published(headgate: Headgate, folder: Path) -> None:
    (folder / "model.py").write_text(MODEL.replace(", nn.Sigmoid())", ")"))
    code, out, err = headgate("check", str(folder))
    assert code == 1
    assert "tests: passed" in out
    assert "a binary model must return a probability from 0 to 1" in err
    assert err.splitlines()[-1] == f"headgate: {folder} would fail as a version"


def test_tests_that_fail_are_shown(headgate: Headgate, folder: Path) -> None:
    (folder / "headgate.toml").write_text(toml(tests='python -c "print(\\"two is not three\\"); exit(3)"'))
    code, _, err = headgate("check", str(folder))
    assert code == 1
    assert "two is not three" in err
    assert "FAILED: tests: ended with exit code 3" in err


def test_a_lock_that_the_trainer_would_refuse_is_refused_with_its_line(headgate: Headgate, folder: Path) -> None:
    (folder / "requirements.txt").write_text("# what the model needs\neinops>=0.8\n")
    code, _, err = headgate("check", str(folder))
    assert code == 1
    assert "FAILED: packages: requirements.txt, line 2: einops>=0.8 does not say one version" in err


def test_what_tests_print_comes_to_the_terminal_without_control_characters(headgate: Headgate, folder: Path) -> None:
    (folder / "noisy.py").write_text(r"print('\x1b[31m owned \x1b]0;T\x07'); exit(3)")
    (folder / "headgate.toml").write_text(toml(tests="python noisy.py"))
    (folder / "data" / "\x1b[31mnew").write_text("")
    code, out, err = headgate("check", str(folder))
    assert code == 1
    assert "[31m owned" in err
    assert "FAILED: tests: ended with exit code 3" in err
    assert [char for char in out + err if not char.isprintable() and char != "\n"] == []


def test_data_that_git_ignores_is_missing_as_it_would_be_in_the_commit(headgate: Headgate, folder: Path) -> None:
    (folder / ".gitignore").write_text("data/\n")
    code, out, err = headgate("check", str(folder))
    assert code == 1
    assert "note: git ignores data/numbers.csv, so no commit holds it; remove it from .gitignore" in out
    assert "FAILED: data: data.numbers: there is no file data/numbers.csv" in err


def test_every_problem_of_the_configuration_is_shown(headgate: Headgate, folder: Path) -> None:
    (folder / "headgate.toml").write_text(toml(loss="vibes", module="../model"))
    code, _, err = headgate("check", str(folder))
    assert code == 1
    assert "train.loss: expected one of mse" in err
    assert "code.module: expected the name of a Python module" in err


def test_a_folder_without_headgate_toml_cannot_be_checked(headgate: Headgate, tmp_path: Path) -> None:
    code, _, err = headgate("check", str(tmp_path))
    assert code == 3
    assert f"{tmp_path} has no headgate.toml; `headgate init` writes a repository that has one" in err
    assert headgate("check", str(tmp_path / "nowhere"))[0] == 3


def test_a_data_file_is_named_with_its_digest_and_again_when_it_has_changed(headgate: Headgate, folder: Path) -> None:
    before = (folder / "headgate.toml").read_text()
    for content in ("a,b\n1,2\n", "a,b\n3,4\n"):
        rows = folder / "data" / "new-rows.csv"
        rows.write_text(content)
        code, _, err = headgate("data", "add", str(rows))
        digest = hashlib.sha256(content.encode()).hexdigest()
        line = f'new_rows = {{ uri = "data/new-rows.csv", sha256 = "{digest}" }}'
        assert (code, err) == (0, f"headgate.toml: data.new_rows is data/new-rows.csv with the SHA-256 {digest}\n")
        assert (folder / "headgate.toml").read_text().splitlines() == [
            *before.splitlines()[:9], line, *before.splitlines()[9:],
        ]  # fmt: skip


def test_a_file_that_was_uploaded_is_named_by_its_url(headgate: Headgate, folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2\n")
    place = "s3://datasets/rows.csv"
    code, _, err = headgate("data", "add", str(rows), "--uri", place, "--repository", str(folder))
    assert code == 0, err
    named = tomllib.loads((folder / "headgate.toml").read_text())["data"]["rows"]
    assert named == {"uri": place, "sha256": hashlib.sha256(b"1,2\n").hexdigest()}


@pytest.mark.parametrize(
    ("file", "uri", "reason"),
    [
        ("numbers.csv", "s3://datasets/rows.csv?versionId=s3cret", "expected no user name, no password, no ? and no #"),
        ("numbers.csv", "ftp://host/rows.csv", "expected a path in the repository, or a URL with a host"),
        ("numbers.csv", "data/other.csv", "expected a URL that begins with https://"),
        (".", "s3://datasets/rows", "only a single file is downloaded"),
    ],
)
def test_a_url_that_the_trainer_would_refuse_is_not_written(
    headgate: Headgate, folder: Path, file: str, uri: str, reason: str
) -> None:
    before = (folder / "headgate.toml").read_text()
    code, _, err = headgate("data", "add", str(folder / "data" / file), "--uri", uri)
    assert (code, reason in err, "s3cret" in err) == (2, True, False)
    assert (folder / "headgate.toml").read_text() == before


def test_data_from_a_url_is_downloaded_as_the_trainer_would(
    headgate: Headgate, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(Files({"/numbers.csv": DATA.encode()})) as url:
        (folder / "headgate.toml").write_text(toml(uri=f"{url}/numbers.csv", tests="python -c 'exit(3)'"))
        code, out, err = headgate("check", str(folder))
        assert "note: the trainer downloads only from places that its operator lists in HEADGATE_DATA_PLACES" in out
        assert (code, "FAILED: tests: ended with exit code 3" in err) == (1, True)
        monkeypatch.setenv("HEADGATE_DATA_PLACES", "s3://datasets")
        err = headgate("check", str(folder))[2]
        assert f"FAILED: data: data.numbers: {url} is not allowed by the operator" in err
        monkeypatch.setenv("HEADGATE_DATA_PLACES", "https://one:99999")
        code, _, err = headgate("check", str(folder))
        assert (code, "FAILED: HEADGATE_DATA_PLACES: https://one:99999: " in err) == (2, True)


def test_a_folder_is_named_by_the_files_that_a_commit_will_hold(headgate: Headgate, folder: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("*.tmp\n")
    (folder / "data" / "left.tmp").write_text("not in the commit")
    code, _, err = headgate("data", "add", str(folder / "data"))
    numbers = hashlib.sha256((folder / "data" / "numbers.csv").read_bytes()).hexdigest()
    digest = hashlib.sha256(f"{numbers}  numbers.csv\n".encode()).hexdigest()
    assert (code, err) == (0, f"headgate.toml: data.data is data with the SHA-256 {digest}\n")
    (folder / "empty").mkdir()
    code, _, err = headgate("data", "add", str(folder / "empty"))
    assert (code, "is a folder without files" in err) == (2, True)


def test_a_data_file_that_a_commit_cannot_hold_is_refused(headgate: Headgate, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("1\n")
    assert (
        "a commit can only hold files of its repository"
        in headgate("data", "add", str(outside), "--repository", str(folder))[2]
    )
    pointer = folder / "large.csv"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "is a pointer of Git LFS and not the data" in headgate("data", "add", str(pointer))[2]
    (folder / ".gitignore").write_text("*.csv\n")
    code, _, err = headgate("data", "add", str(folder / "data" / "numbers.csv"))
    assert code == 0
    assert "warning: git ignores data/numbers.csv, so no commit will hold it" in err
    assert headgate("data", "add", str(folder / "none.csv"))[0] == 3


@pytest.mark.parametrize(("text", "problem"), [(b"x = '\xff'", "got the byte 0xff in line 1"), (b"x = ", "is no TOML")])
def test_a_declaration_that_is_no_toml_is_wrong_input(
    headgate: Headgate, folder: Path, text: bytes, problem: str
) -> None:
    (folder / "headgate.toml").write_bytes(text)
    code, _, err = headgate("data", "add", str(folder / "data" / "numbers.csv"))
    assert (code, problem in err) == (2, True)
    assert (folder / "headgate.toml").read_bytes() == text


def test_a_file_that_cannot_be_edited_safely_stays_as_it_is(headgate: Headgate, folder: Path) -> None:
    text = toml().replace("[data]\nnumbers", "[data.numbers]\nuri = 'x'\nsha256 = 'x'\n[other]\nnumbers")
    (folder / "headgate.toml").write_text(text)
    code, _, err = headgate("data", "add", str(folder / "data" / "numbers.csv"))
    assert code == 1
    assert "Write by hand:\n[data]\nnumbers = { uri =" in err
    assert (folder / "headgate.toml").read_text() == text


NAMES = st.sampled_from(["a", "b", "rows", "c"])


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(0, 9))), NAMES, NAMES)
def test_one_value_is_changed_and_nothing_else(document: dict[str, dict[str, int]], table: str, key: str) -> None:
    text = "".join(
        f"[{name}] # of {name}\n" + "".join(f"{each} = {value}\n\n" for each, value in values.items())
        for name, values in document.items()
    )
    changed = with_value(text, table, key, "99")
    assert tomllib.loads(changed) == document | {table: document.get(table, {}) | {key: 99}}
    assert all(line in changed.splitlines() for line in text.splitlines() if line.startswith("["))
