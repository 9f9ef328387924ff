"""A lock has every package that its packages need here, and no more is asked for."""

from services.trainer.packages.closure import Installed, unmet
from services.trainer.packages.lock import Lock
from services.trainer.packages.requirements import parse_requirements
from tests.trainer.packages.wheels import line


def lock(*names: str) -> Lock:
    return parse_requirements("".join(line(name, "1.0", "a" * 64) for name in names).encode())


def missed(locked: Lock, **requires: list[str]) -> list[str]:
    """Each package with what it needs and the lock does not have."""
    found = unmet(locked, {name: Installed(texts) for name, texts in requires.items()})
    return [reason.partition(": ")[2].partition(", which")[0] for reason in found]


def test_what_a_package_needs_in_any_case_is_asked_for() -> None:
    assert missed(lock("one"), one=["two>=1", "three ; python_version < '3'"]) == ["one==1.0 needs two>=1"]
    assert missed(lock("one", "two"), one=["two>=1"], two=[]) == []


def test_an_extra_that_nobody_asks_for_needs_nothing() -> None:
    frames = ["one[lazy] ; extra == 'all'", "duckdb ; extra == 'lazy'"]
    assert missed(lock("one"), one=frames) == []
    assert missed(lock("one[all]"), one=frames) == ["one==1.0 needs duckdb"]


def test_an_extra_that_another_package_asks_for_counts_in_whatever_order_they_stand() -> None:
    for names in (("one", "two"), ("two", "one")):
        assert missed(lock(*names), one=["duckdb ; extra == 'lazy'"], two=["one[lazy]"]) == ["one==1.0 needs duckdb"]


def test_a_requirement_that_no_tool_reads_is_not_asked_for() -> None:
    assert missed(lock("one"), one=["two (>=1,"]) == []
