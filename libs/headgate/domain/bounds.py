"""For which names a grant holds. `headgate.access.grants.Bound` says the same, and remembers what it has parsed."""

from collections.abc import Mapping

NO_LABELS: Mapping[str, str] = {}


def covers(bound: str, name: str, labels: Mapping[str, str] = NO_LABELS) -> bool:
    """Whether `*`, a name, a prefix such as `fraud-*`, or a label such as `team=risk` holds for the name."""
    if bound in ("*", name):
        return True
    if bound.endswith("*"):
        return name.startswith(bound[:-1])
    label, equals, value = bound.partition("=")
    return bool(equals) and labels.get(label) == value
