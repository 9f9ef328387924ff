"""The subject of a fact or a command: a release or a version of the stream's model."""

from functools import cache
from typing import Any

from google.protobuf.message import Message

_KIND_OF = {"release": "releases", "version": "versions", "candidate": "versions"}
"""The fields that name a subject, with its kind. The first of them that a message has counts."""


def subject_of(message: Message) -> str:
    """`releases/3` or `versions/2` within the stream; empty when the subject is the model itself.

    The subject of a release fact is the release. A command that reports a fact has the subject of that fact.
    """
    of_class: Any = type(message)
    kind, field = _subject_field(of_class)
    if kind:
        return f"{kind}/{getattr(message, field)}"
    return subject_of(getattr(message, field)) if field else ""


@cache
def _subject_field(message: type[Any]) -> tuple[str, str]:
    """Kind and field of the subject. The kind is empty for a field that holds a fact; both are empty without one."""
    fields = message.DESCRIPTOR.fields_by_name
    if "fact" in fields:
        return "", "fact"
    return next(((kind, name) for name, kind in _KIND_OF.items() if name in fields), ("", ""))
