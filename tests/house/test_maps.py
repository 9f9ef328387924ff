"""ARCHITECTURE.md and CONTRIBUTING.md name only paths and names that exist."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, tracked

PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md")
QUOTED = re.compile(r"`([^`\s]+)`")
PATH = re.compile(r"[.\w<*-][\w.<>*-]*(/[\w.<>*-]+)*/?")
ENDINGS = {".py", ".proto", ".toml", ".yaml", ".yml", ".md", ".txt", ".sh", ".json", ".binpb"}
NAME_IN_A_FILE = re.compile(r"`([\w.]+)(?:\(\.\.\.\))?` (?:in|of) `([\w/.]+\.\w+)`")
STREAMS = ("models/", "environments/", "access/")


def named(text: str) -> list[str]:
    """The paths in backticks. They start at the root; a file without a folder may be anywhere, `<name>` is any name."""
    return [word for word in QUOTED.findall(text) if PATH.fullmatch(word) and is_path(word)]


def is_path(word: str) -> bool:
    return ("/" in word and not word.startswith(STREAMS)) or Path(word).suffix in ENDINGS


def exists(path: str) -> bool:
    if "/" not in path:
        return any(each.name == path for each in tracked())
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path)))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    paths = named((ROOT / page).read_text())
    assert paths
    assert [path for path in paths if not exists(path)] == []


def test_every_name_that_architecture_places_in_a_file_is_in_it() -> None:
    found = NAME_IN_A_FILE.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(found) > 3
    for name, path in found:
        missing = [word for word in name.split(".") if word not in (ROOT / path).read_text()]
        assert missing == [], path


def test_a_path_that_does_not_exist_is_found() -> None:
    text = "`services/nowhere.py`, `nowhere.toml`, `make check`, `kafka://`, `/livez`, `models/fraud`, `<name>`"
    assert [path for path in named(text) if not exists(path)] == ["services/nowhere.py", "nowhere.toml"]
