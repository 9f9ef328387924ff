"""What a fact or a wish is about: a release or a version of its stream's model."""

from functools import cache
from typing import Any

from google.protobuf.message import Message

_KIND_OF = {"release": "releases", "version": "versions", "candidate": "versions"}
"""Kind of each field that names a subject, the telling ones first."""


def subject_of(message: Message) -> str:
    """`releases/3` or `versions/2` within the stream; empty for what is about the model as a whole.

    A fact of a release is about the release, and one that reports a fact is about what the fact is about.
    """
    of_class: Any = type(message)
    kind, field = _naming(of_class)
    if kind:
        return f"{kind}/{getattr(message, field)}"
    return subject_of(getattr(message, field)) if field else ""


@cache
def _naming(message: type[Any]) -> tuple[str, str]:
    """Kind and field of the subject; no kind for a field that is a fact itself, and neither when there is none."""
    fields = message.DESCRIPTOR.fields_by_name
    if "fact" in fields:
        return "", "fact"
    return next(((kind, name) for name, kind in _KIND_OF.items() if name in fields), ("", ""))
