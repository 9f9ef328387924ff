"""The packages that a module imports in any case are found in its text, with their lines."""

from pathlib import Path

import pytest

from services.trainer.packages.imports import imported_packages, missing


def found(checkout: Path, module: str = "model", **files: str) -> dict[str, str]:
    for name, text in files.items():
        file = checkout / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {name: each.place() for name, each in imported_packages(checkout, module).items()}


def test_imports_have_the_line_at_which_they_stand_first(tmp_path: Path) -> None:
    text = "import os\nimport torch.nn as nn, numpy\nfrom einops.layers import torch as layers\nimport numpy\n"
    assert found(tmp_path, model=text) == {
        "torch": "model.py, line 2",
        "numpy": "model.py, line 2",
        "einops": "model.py, line 3",
    }


def test_the_repositorys_own_modules_are_read_and_not_named(tmp_path: Path) -> None:
    names = found(
        tmp_path,
        "pkg.model",
        pkg__model="from . import layers\nfrom .parts.deep import x\nimport helper\n",
        pkg__layers="import einops\n",
        pkg__parts__deep="from ..other import y\n",
        pkg__other="import pandas\n",
        helper="import polars\n",
        unused="import sklearn\n",
    )
    assert names == {
        "einops": "pkg/layers.py, line 1",
        "polars": "helper.py, line 1",
        "pandas": "pkg/other.py, line 1",
    }


def test_a_module_in_a_folder_that_the_code_adds_to_its_path_is_its_own(tmp_path: Path) -> None:
    text = "import sys\nsys.path.append('src')\nimport inner\n"
    assert found(tmp_path, model=text, src__inner="") == {}


def test_an_import_that_may_fail_does_not_count(tmp_path: Path) -> None:
    text = "try:\n    import cupy\nexcept ImportError:\n    pass\nif 0:\n    import jax\ndef f():\n    import dask\n"
    assert found(tmp_path, model=text) == {}


@pytest.mark.parametrize("text", ["def (", "\0", "x = " + "(" * 1000])
def test_a_module_that_is_no_python_imports_nothing_here(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, model=text) == {}


def test_what_is_in_one_of_the_folders_is_not_missing(tmp_path: Path) -> None:
    found(tmp_path / "packages", einops="", numpy____init__="")
    found(tmp_path / "packages", parts__added="")
    (tmp_path / "packages" / "more.pth").write_text("import os\nparts\n")
    found(tmp_path / "checkout", model="import added, einops, numpy, pandas\n")
    imported = imported_packages(tmp_path / "checkout", "model")
    assert [each.name for each in missing(imported.values(), [tmp_path / "packages"])] == ["pandas"]
