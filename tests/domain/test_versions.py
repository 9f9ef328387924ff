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
