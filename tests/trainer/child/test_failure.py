"""What an error of foreign code says about its place in the repository."""

import importlib
from pathlib import Path

import pytest

from services.trainer.child.failure import line_of, raised


def test_a_missing_module_has_no_place_inside_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module("einops_of_nobody")
    assert line_of(missing.value, ".") == ""
    text = raised("network(context)", missing.value, ".")
    assert text.startswith("network(context): ModuleNotFoundError: No module named 'einops_of_nobody'. Put the module")
    assert text.endswith("add its package to requirements.txt or uv.lock and lock again")


def test_an_error_of_the_repository_has_its_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    with pytest.raises(ZeroDivisionError) as divided:
        exec(compile("\n1 / 0", str(file), "exec"))
    assert line_of(divided.value, str(tmp_path)) == " (model.py, line 2)"


def test_a_package_that_a_library_lacks_belongs_into_the_lock(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    lacks = "tried using: 'pyarrow', 'fastparquet'.\\n - `Import pyarrow` failed"
    with pytest.raises(ImportError) as missing:
        exec(compile(f'raise ImportError("{lacks}")', str(file), "exec"))

    text = raised("datasets(context)", missing.value, str(tmp_path))
    assert text == (
        "datasets(context): ImportError: tried using: 'pyarrow', 'fastparquet'. - `Import pyarrow` failed"
        " (model.py, line 1). Add the package that it needs to requirements.txt or uv.lock and lock again"
    )


def test_a_name_that_a_module_lacks_is_no_missing_package() -> None:
    with pytest.raises(ImportError) as missing:
        exec("from pathlib import NoSuchPath")

    assert "lock again" not in raised("network(context)", missing.value, ".")
