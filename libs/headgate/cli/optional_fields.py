"""Fields that a resource need not have, such as metrics.KEY: what a list does with the resources that lack one."""

from collections.abc import Callable

from headgate.cli.printing import report
from headgate.view.fields import Kind, field_of
from headgate.view.filter import BadQuery, parse


def optional_field(kind: Kind, order: str) -> str:
    """The field that an order sorts by, when resources of this kind may lack it; empty otherwise."""
    path = next(iter(order.split()), "")
    found = field_of(kind, path)
    return path if found is not None and found[0].keyed else ""


def lacking(filter_text: str, path: str) -> str:
    """The filter that also asks for resources without the field."""
    return f"{filter_text} AND NOT {path}:*" if filter_text.strip() else f"NOT {path}:*"


def having(path: str) -> str:
    """The filter for resources that have the field."""
    return f"{path}:*"


def report_absent(kind: Kind, filter_text: str, any_with: Callable[[str], bool]) -> None:
    """Names the optional fields of a filter that nothing has. `any_with` answers whether a filter matches anything."""
    for path in _optional_fields(kind, filter_text):
        if not any_with(having(path)):
            report(f"no {kind.value} has {path}, which --filter compares: is the name right?")


def _optional_fields(kind: Kind, filter_text: str) -> list[str]:
    try:
        found = parse(kind, filter_text).comparisons
    except BadQuery:  # the service has refused it
        return []
    return list(dict.fromkeys(each.path for each in found if each.field.keyed))
