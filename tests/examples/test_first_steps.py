"""The commands of docs/first-steps.md, run as they are written, make a repository that can be published."""

import os
import subprocess
from pathlib import Path

from headgate.cli.publish import read_change
from tests.house.test_docs import BLOCK
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "first-steps.md"
LIMIT_SECONDS = 100.0


def run_as_written(block: str, home: Path) -> str:
    """Runs a block of the page in this folder, with another home folder. Returns what it prints."""
    person = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env={**os.environ, **person, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_first_steps_make_a_repository_and_put_the_command_on_the_path(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCK.findall(PAGE.read_text()) if "git " in block)
    printed = run_as_written(f"{block}\nheadgate --help", tmp_path)
    assert "Exit codes" in printed
    change, _ = read_change(tmp_path / "fraud", "HEAD")
    assert (change.model, change.message) == ("fraud", "First version")
