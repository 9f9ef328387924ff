"""uv installs exactly what a lock has, from wheels alone. What it refuses is explained with the line of the lock."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.trainer.packages.installing import Installing
from services.trainer.packages.lock import WrongLock
from services.trainer.packages.requirements import COMPILE, parse_requirements
from services.trainer.packages.uv import uv_program
from services.trainer.programs.processes import Stopped
from tests.trainer.packages.wheels import index_in, line, source, wheel

NEVER = threading.Event()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    with index_in(tmp_path / "index") as folder:
        yield folder


def install(directory: Path, text: str, settings: Installing | None = None, stop: threading.Event = NEVER) -> Path:
    into, log = directory / "environment", directory / "log"
    into.mkdir()
    log.touch()
    (settings or Installing()).install(parse_requirements(text.encode()), (), into, log, stop)
    return into


def refusal(directory: Path, text: str, settings: Installing | None = None) -> str:
    with pytest.raises(WrongLock) as refused:
        install(directory, text, settings)
    return str(refused.value)


def test_the_packages_of_the_lock_are_installed_and_nothing_else_stays(tmp_path: Path, index: Path) -> None:
    text = wheel(index, "shade", "1.0") + wheel(index, "needs", "2.0", metadata=["Requires-Dist: shade>=1"])
    into = install(tmp_path, text)
    assert [each.name for each in into.iterdir()] == ["packages"]
    assert "VERSION = '1.0'" in (into / "packages" / "shade.py").read_text()
    assert "+ needs==2.0" in (tmp_path / "log").read_text()


def test_a_package_that_is_not_for_this_system_is_not_looked_for(tmp_path: Path, index: Path) -> None:
    absent = "absent==1.0 ; sys_platform == 'win32' --hash=sha256:" + "a" * 64 + "\n"
    assert (install(tmp_path, absent + wheel(index, "shade", "1.0")) / "packages" / "shade.py").exists()


def test_each_fault_of_the_index_is_explained_at_its_line(tmp_path: Path, index: Path) -> None:
    marker = tmp_path / "ran"
    cases = {
        "absent": (line("absent", "1.0", "a" * 64), "has no package absent"),
        "newer": (wheel(index, "newer", "1.0").replace("1.0", "9.9"), "does not have this version of newer"),
        "changed": (wheel(index, "changed", "1.0")[:-65] + "a" * 64, "has another hash than the lock"),
        "oldpython": (wheel(index, "oldpython", "1.0", "cp36-cp36m-any"), "has no wheel for this Python"),
        "windows": (wheel(index, "windows", "1.0", "py3-none-win_amd64"), "has no wheel for this system"),
        "sources": (
            source(index, "sources", "1.0", f"open({str(marker)!r}, 'w')"),
            "comes as source only, and no package's code runs",
        ),
    }
    for name, (text, reason) in cases.items():
        (tmp_path / name).mkdir()
        found = refusal(tmp_path / name, f"# a comment\n{text}")
        assert found.startswith(f"requirements.txt, line 2, {name}=="), found
        assert reason in found, found
        assert "(uv: error: " in found, found
    assert not marker.exists()


def test_a_package_that_another_one_needs_is_missed(tmp_path: Path, index: Path) -> None:
    wheel(index, "shade", "1.0")
    text = wheel(index, "needs", "1.0", metadata=["Requires-Dist: shade>=1", "Requires-Dist: absent ; extra == 'more'"])
    assert refusal(tmp_path, text) == (
        "requirements.txt, line 1: needs==1.0 needs shade>=1, which requirements.txt does not have."
        f" Every package stands in it, with its hashes: {COMPILE}"
    )


def test_a_package_for_another_python_is_refused_whatever_the_index_says(tmp_path: Path, index: Path) -> None:
    found = refusal(tmp_path, wheel(index, "future", "1.0", metadata=["Requires-Python: >=3.99"]))
    assert found.startswith("requirements.txt, line 1: future==1.0 is for Python >=3.99, and the trainer has 3.")


def test_an_extra_of_the_lock_needs_its_packages(tmp_path: Path, index: Path) -> None:
    text = wheel(index, "needs", "1.0", metadata=["Requires-Dist: absent ; extra == 'more'"])
    assert "needs==1.0 needs absent" in refusal(tmp_path, text.replace("needs==", "needs[more]=="))


def test_versions_that_do_not_fit_each_other_are_refused(tmp_path: Path, index: Path) -> None:
    text = wheel(index, "shade", "1.0") + wheel(index, "needs", "1.0", metadata=["Requires-Dist: shade>=2"])
    assert refusal(tmp_path, text).startswith(
        "requirements.txt, line 2: needs==1.0 needs shade>=2, and line 1 has 1.0."
    )


def test_an_index_that_does_not_answer_is_not_the_locks_fault(tmp_path: Path, index: Path) -> None:
    # Nothing listens on the port of the discard service.
    settings = Installing(index="http://reader:secret@127.0.0.1:9/simple")
    found = refusal(tmp_path, line("shade", "1.0", "a" * 64), settings)
    assert "the trainer's package index does not answer. Its operator sets it with HEADGATE_PACKAGE_INDEX" in found
    assert "secret" not in found


def test_an_environment_that_grows_too_large_is_refused(tmp_path: Path, index: Path) -> None:
    found = refusal(tmp_path, wheel(index, "shade", "1.0"), Installing(max_bytes=1))
    assert found == ("requirements.txt: its environment has more than 1 bytes; lock fewer or smaller packages")


@pytest.fixture
def silent(index: Path) -> Iterator[str]:
    """The address of an index that takes a request and never answers it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_a_build_that_takes_too_long_is_refused(tmp_path: Path, silent: str) -> None:
    found = refusal(tmp_path, line("shade", "1.0", "a" * 64), Installing(index=silent, seconds=0.5))
    assert found.startswith("requirements.txt: its environment took longer than 0.5 s")


def test_a_build_ends_when_the_attempt_is_cancelled(tmp_path: Path, silent: str) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        install(tmp_path, line("shade", "1.0", "a" * 64), Installing(index=silent), stop)


def test_the_command_of_the_docs_writes_a_lock_that_is_installed(tmp_path: Path, index: Path) -> None:
    wheel(index, "shade", "1.0")
    wheel(index, "needs", "1.0", metadata=["Requires-Dist: shade>=1"])
    (tmp_path / "requirements.in").write_text("needs\n")
    command = [uv_program(), *COMPILE.split()[1:]]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    into = install(tmp_path, (tmp_path / "requirements.txt").read_text())
    assert {each.name for each in (into / "packages").glob("*.py")} == {"needs.py", "shade.py"}
