"""The versions of a model by number. A change of a version stays."""

import gc

import pytest

from headgate.domain.versions import Versions
from headgate.v1 import resources_pb2 as resources


def test_versions_are_numbered_from_one_in_the_order_they_were_added() -> None:
    versions = Versions()
    versions.add(commit="a")
    versions.add(commit="b")
    assert list(versions) == [1, 2]
    assert [(number, version.commit) for number, version in versions.items()] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_there_is_no_version_for_other_numbers(number: int) -> None:
    versions = Versions([resources.Version(commit="a"), resources.Version(commit="b")])
    assert versions.get(number) is None
    assert number not in versions
    with pytest.raises(KeyError):
        versions[number]


def test_a_change_stays_when_the_version_is_no_longer_referenced() -> None:
    versions = Versions([resources.Version(commit="a")])
    versions[1].quarantined = True
    gc.collect()
    assert versions[1].quarantined


def test_a_copy_shares_nothing_with_what_it_was_made_of() -> None:
    versions = Versions([resources.Version(commit="a")])
    copied = versions.copy()
    copied[1].quarantined = True
    copied.add(commit="b")
    versions.add(commit="c")
    assert [(each.commit, each.quarantined) for each in versions.values()] == [("a", False), ("c", False)]
    assert [(each.commit, each.quarantined) for each in copied.values()] == [("a", True), ("b", False)]
    assert copied.size_bytes() > versions.size_bytes() > 0
