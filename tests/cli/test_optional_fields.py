"""A list leaves out no row in silence because of a field that the row, or every row, does not have."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.cli.optional_fields import lacking, optional_field
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from tests.cli.test_release_verbs import Headgate, headgate
from tests.deployer.world import World

__all__ = ["headgate"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Versions 1 and 3 have an accuracy, version 2 has none."""
    world = World(tmp_path)
    world.start()
    world.pass_gate(1, metrics={"accuracy": 0.9})
    world.pass_gate(2)
    world.pass_gate(3, metrics={"accuracy": 0.7})
    world.wait_for(lambda state: 3 in state.versions and state.versions[3].verdict == resources.VERDICT_STATE_PASSED)
    yield world
    world.stop()


def numbers(headgate: Headgate, *options: str, model: str = "fraud") -> tuple[list[int], str]:
    code, out, err = headgate("version", "list", model, *options, "-o", "json")
    assert code == 0, err
    return [version["version"] for version in json.loads(out)], err


def test_versions_without_what_sorts_or_filters_are_listed_last_or_named(world: World, headgate: Headgate) -> None:
    assert numbers(headgate) == ([3, 2, 1], "")
    assert numbers(headgate, "--order", "version desc") == ([3, 2, 1], "")
    cut = "only the first 2 versions of this list: -n lists more\n"
    by_accuracy = ("--order", "metrics.accuracy desc")
    last = "versions without metrics.accuracy, by which --order sorts, come last: 1\n"
    assert numbers(headgate, *by_accuracy) == ([1, 3, 2], last)
    assert numbers(headgate, *by_accuracy, model="-") == ([1, 3, 2], last)
    assert numbers(headgate, *by_accuracy, "--filter", "version >= 2") == ([3, 2], last)
    assert numbers(headgate, *by_accuracy, "-n", "2") == ([1, 3], cut)
    unsorted = "no version has metrics.nope, by which --order sorts: the newest come first\n"
    assert numbers(headgate, "--order", "metrics.nope desc") == ([3, 2, 1], unsorted)
    unknown = "no version has metrics.nope, which --filter compares: is the name right?\n"
    assert numbers(headgate, "--filter", "metrics.nope > 0.5") == ([], unknown)
    assert numbers(headgate, "--filter", "NOT metrics.nope > 0.5") == ([3, 2, 1], unknown)
    assert numbers(headgate, "--filter", "metrics.accuracy > 0.95") == ([], "")
    assert headgate("version", "list", "fraud", "--filter", "tags.nope = x")[2] == (
        "no version has tags.nope, which --filter compares: is the name right?\nNo version matches the filter.\n"
    )
    assert headgate("model", "list", "--filter", "labels.nope = x")[2] == (
        "no model has labels.nope, which --filter compares: is the name right?\nNo model matches the filter.\n"
    )


@pytest.mark.parametrize(
    ("order", "field"),
    [("metrics.auc desc", "metrics.auc"), ("version desc", ""), ("create_time", ""), ("", ""), ("nonsense", "")],
)
def test_only_a_field_with_a_key_may_be_missing(order: str, field: str) -> None:
    assert optional_field(Kind.VERSION, order) == field


def test_the_filter_for_the_rest_keeps_the_filter_of_the_list() -> None:
    assert lacking("", "metrics.auc") == "NOT metrics.auc:*"
    assert lacking("version > 2", "metrics.auc") == "version > 2 AND NOT metrics.auc:*"
