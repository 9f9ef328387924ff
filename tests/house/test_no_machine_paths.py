"""The committed files work on any machine: they name no home folder, no package index and no mirror."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, short, tracked

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}-])(/home/\w|/Users/\w|/root/|/work/\w|/workspace/)|[A-Z]:\\Users"),
    "a package index": re.compile(
        r"index-url[\s=]+\S*://|pypi\.org/simple|pythonhosted\.org|artifactory|download\.pytorch", re.I
    ),
    "a Maven mirror": re.compile(r"repo1?\.maven|maven\.google", re.I),
}
SET_UP = ("requirements/", "scripts/", "Makefile", "pyproject.toml", ".ci/")
"""The files that fetch packages. They may not name any host."""

BINARY = {".csv", ".npz", ".onnx", ".safetensors", ".binpb", ".png", ".jar", ".zip", ".gz", ".wav"}


def texts() -> list[tuple[Path, str]]:
    files = [path for path in tracked() if path.suffix not in BINARY and path != Path(__file__).resolve()]
    return [(path, path.read_text(encoding="utf-8", errors="replace")) for path in files]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what):
    found = {
        f"{short(path)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN[what].search(line)
    }
    assert found == set()


def test_the_setup_names_no_host():
    named = [short(path) for path, text in texts() if short(path).startswith(SET_UP) and re.search(r"https?://", text)]
    assert named == [], f"below {ROOT}"
