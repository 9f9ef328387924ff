"""A trainer leaves the bytecode that its trainings need and may not write."""

import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from services.trainer.bytecode import Bytecode, lacks_bytecode
from tests.waiting import until


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that was installed without bytecode."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "heavy.py"
    file.write_text("HEAVY = True\n")
    return file


def bytecode_of(package: Path) -> Bytecode:
    return Bytecode(package, (sys.executable, "-c", "import heavy"))


def test_packages_without_bytecode_are_compiled_once(package: Path) -> None:
    bytecode = bytecode_of(package)
    assert bytecode.start()
    until(lambda: not lacks_bytecode(package), "the bytecode")
    bytecode.close()
    assert Path(cache_from_source(str(package))).exists()
    assert not bytecode_of(package).start()


def test_nothing_is_compiled_where_python_is_told_to_write_none(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert not bytecode_of(package).start()


def test_a_trainer_that_stops_meanwhile_ends_the_process(package: Path) -> None:
    bytecode = Bytecode(package, (sys.executable, "-c", "import time; time.sleep(3600)"))
    assert bytecode.start()
    process = bytecode._process
    bytecode.close()
    assert process is not None
    assert process.poll() is not None
