"""CHANGELOG.md says what users see of each change: newest release first, one line for each change."""

from tests.house.tree import ROOT

LINES = (ROOT / "CHANGELOG.md").read_text().splitlines()


def test_what_is_not_released_yet_stands_first() -> None:
    assert next(line for line in LINES if line.startswith("## ")) == "## Unreleased"


def test_an_entry_is_one_line_so_that_entries_of_several_changes_merge() -> None:
    entries = [line for line in LINES[LINES.index("## Unreleased") :] if line and not line.startswith("## ")]
    assert [line for line in entries if not line.startswith("- ") or not line.endswith(".")] == []
