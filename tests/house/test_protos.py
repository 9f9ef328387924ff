"""The check of the protos finds breaking changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

FIELD = "  string correlation_id = 8;\n"


@pytest.fixture
def contract(tmp_path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    return tmp_path


def breaking(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scripts/protos.sh", "breaking"], cwd=folder, capture_output=True, text=True)


def test_a_new_field_is_compatible(contract):
    facts = contract / "protos/headgate/v1/facts.proto"
    facts.write_text(facts.read_text().replace(FIELD, f"{FIELD}  string added_by_this_test = 999;\n"))
    assert breaking(contract).returncode == 0


@pytest.mark.parametrize("change", ["", "  bytes correlation_id = 8;\n", "  string correlation_id = 998;\n"])
def test_a_removed_or_changed_field_is_a_breaking_change(contract, change):
    facts = contract / "protos/headgate/v1/facts.proto"
    assert FIELD in facts.read_text()
    facts.write_text(facts.read_text().replace(FIELD, change, 1))
    result = breaking(contract)
    assert result.returncode != 0
    assert "correlation_id" in result.stdout
