"""What a fact or a wish is about: a release or a version of its stream's model."""

from google.protobuf.message import Message

_KIND_OF = {"release": "releases", "version": "versions", "candidate": "versions"}
"""Kind of each field that names a subject, the telling ones first."""


def subject_of(message: Message) -> str:
    """`releases/3` or `versions/2` within the stream; empty for what is about the model as a whole.

    A fact of a release is about the release, and one that reports a fact is about what the fact is about.
    """
    fields = message.DESCRIPTOR.fields_by_name
    if "fact" in fields:
        return subject_of(getattr(message, "fact"))  # noqa: B009 - no field that the types know
    return next((f"{kind}/{getattr(message, name)}" for name, kind in _KIND_OF.items() if name in fields), "")
