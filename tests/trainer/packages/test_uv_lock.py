"""A uv.lock is read by uv itself, as it is at the commit, and its faults have the line of their package."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.trainer.packages.lock import Lock, WrongLock
from services.trainer.packages.locked import find_lock
from services.trainer.packages.uv import uv_program
from tests.trainer.packages.wheels import index_in, wheel

PROJECT = """
[project]
name = "tiny"
version = "1"
requires-python = ">=3.11"
dependencies = [{dependencies}]
[dependency-groups]
dev = ["checks"]
"""
FOREIGN = """
[[package]]
name = "{name}"
version = "1"
source = {{ {source} }}
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    with index_in(tmp_path / "index") as folder:
        for name in ("shade", "checks"):
            wheel(folder, name, "1.0")
        yield folder


@pytest.fixture
def project(tmp_path: Path, index: Path) -> Path:
    """A repository that uv has locked."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT.format(dependencies='"shade"'))
    subprocess.run([uv_program(), "lock", "--quiet"], cwd=folder, check=True)
    return folder


def found(project: Path) -> Lock:
    lock = find_lock(project, project.parent / "scratch", threading.Event())
    assert lock is not None
    return lock


def refusal(project: Path) -> str:
    with pytest.raises(WrongLock) as refused:
        found(project)
    return str(refused.value)


def test_the_packages_of_the_project_and_of_its_dev_group_count(project: Path) -> None:
    lock = found(project)
    assert [(pin.name, pin.version) for pin in lock.pins] == [("checks", "1.0"), ("shade", "1.0")]
    lines = (project / "uv.lock").read_text().splitlines()
    assert [lines[pin.line - 1] for pin in lock.pins] == ['name = "checks"', 'name = "shade"']


def test_it_counts_before_a_requirements_txt(project: Path) -> None:
    (project / "requirements.txt").write_text("not locked\n")
    assert found(project).file == "uv.lock"


@pytest.mark.parametrize(
    ("source", "line"), [(f'git = "https://code.example/six#{"9" * 40}"', 3), ('directory = "parts/six"', 5)]
)
def test_a_package_from_elsewhere_than_the_index_is_refused_by_its_line(project: Path, source: str, line: int) -> None:
    lock = project / "uv.lock"
    text = lock.read_text().replace('{ name = "shade" },', '{ name = "shade" },\n    { name = "six" },', 1)
    lock.write_text(text + FOREIGN.format(name="six", source=source))
    reason = refusal(project)
    assert reason.startswith(f"uv.lock, line {text.count(chr(10)) + line}: ")
    assert "is an address or a file; packages come from the trainer's index" in reason


def test_a_lock_that_is_older_than_its_project_is_refused(project: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT.format(dependencies='"shade", "absent>=2"'))
    assert refusal(project) == "uv.lock: it does not have absent, which pyproject.toml needs; lock again: uv lock"


def test_a_lock_for_another_python_is_refused(project: Path) -> None:
    lock = project / "uv.lock"
    lock.write_text(lock.read_text().replace('requires-python = ">=3.11"', 'requires-python = ">=3.99"'))
    assert refusal(project).startswith("uv.lock: it is for Python >=3.99, and the trainer has 3.")


def test_a_lock_without_its_project_is_refused(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    assert refusal(project).startswith("uv.lock: the commit has no pyproject.toml")


@pytest.mark.parametrize("text", ["x = [", f"x = {'9' * 5_000}", f"x = {'[' * 5_000}"], ids=["open", "long", "deep"])
@pytest.mark.parametrize("file", ["uv.lock", "pyproject.toml"])
def test_a_file_that_is_no_toml_is_refused(project: Path, file: str, text: str) -> None:
    (project / file).write_text(text)
    assert refusal(project).startswith(f"{file} is not TOML: ")


def test_what_uv_cannot_read_is_refused_with_its_reason(project: Path) -> None:
    lock = project / "uv.lock"
    lock.write_text(lock.read_text().replace("version = 1\n", "version = 99\n", 1))
    assert refusal(project).startswith("uv.lock cannot be read: uv export: ")


def test_no_code_of_the_project_runs(project: Path) -> None:
    text = (project / "pyproject.toml").read_text().replace('version = "1"\n', 'dynamic = ["version"]\n')
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (project / "pyproject.toml").write_text(text + backend)
    (project / "backend.py").write_text("open('ran', 'w')")
    assert found(project).pins
    assert not list(project.rglob("ran"))
