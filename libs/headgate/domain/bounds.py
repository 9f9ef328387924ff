"""For which names a grant holds. `headgate.access.grants.Bound` says the same, and remembers what it has parsed."""

from collections.abc import Mapping

from headgate.domain.names import DEFAULT_PROJECT

NO_LABELS: Mapping[str, str] = {}
DEFAULT_BOUND = f"{DEFAULT_PROJECT}.*"
"""Holds for the models whose names have no dot, though none of them begins so."""


def covers(bound: str, name: str, labels: Mapping[str, str] = NO_LABELS) -> bool:
    """Whether `*`, a name, a prefix as `fraud-*` or `risk.*`, or a label as `team=risk` holds for the name."""
    if bound in ("*", name):
        return True
    if bound.endswith("*"):
        return prefix_covers(bound, name)
    label, equals, value = bound.partition("=")
    return bool(equals) and labels.get(label) == value


def prefix_covers(bound: str, name: str) -> bool:
    """Whether a bound such as `fraud-*` or `risk.*` holds for the name. It never reaches into another project.

    In place of a name a call may have all names or none (`*` or nothing), or a prefix, whose names must all be covered.
    """
    if bound == DEFAULT_BOUND:
        return "." not in name and name not in ("*", "")
    begin = bound[:-1]
    return name.startswith(begin) and "." not in name[len(begin) :]
