"""CHANGELOG.md has the newest release first, and one line for each change."""

from tests.house.tree import ROOT

LINES = (ROOT / "CHANGELOG.md").read_text().splitlines()


def test_unreleased_changes_come_first() -> None:
    assert next(line for line in LINES if line.startswith("## ")) == "## Unreleased"


def test_an_entry_is_one_line_so_that_git_can_merge_entries() -> None:
    entries = [line for line in LINES[LINES.index("## Unreleased") :] if line and not line.startswith("## ")]
    assert [line for line in entries if not line.startswith("- ") or not line.endswith(".")] == []
