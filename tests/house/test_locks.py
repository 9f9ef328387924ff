"""The lock files have every package once for each platform, with hashes, and agree with each other."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__init__.py"))


def pins(lock: Path) -> dict[str, str]:
    """`name==version ; marker` -> the other lines of the entry."""
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    return {head.removesuffix("\\").strip(): rest for head, _, rest in (entry.partition("\n") for entry in entries)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_is_pinned_with_a_hash(lock):
    for head, rest in pins(lock).items():
        assert re.match(r"[a-z0-9._-]+==\S+( ; .*)?$", head), head
        assert "--hash=sha256:" in rest, head


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_deployed_with_the_versions_that_were_tested(service):
    def versions(lock: str) -> set[str]:
        return {head.partition(" ;")[0] for head in pins(ROOT / "requirements" / f"{lock}.txt")}

    assert versions(service) <= versions("dev")
