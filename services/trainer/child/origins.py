"""Removes from a graph what says where it was made: exporters leave stack traces, which name directories."""

import onnx
from google.protobuf.message import Message

ORIGINS = ("doc_string", "metadata_props")
"""Fields of any part of a graph in which an exporter leaves stack traces."""


def without_origins(data: bytes) -> bytes:
    """The same model without the origins of its parts; as it is when no part has any.

    The description and the properties of the model as a whole stay: its author has written them.
    """
    model = onnx.load_model_from_string(data)
    before = model.ByteSize()
    for part in (model.graph, *model.functions):
        remove_origins(part)
    if model.ByteSize() == before:
        return data
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def remove_origins(part: Message) -> None:
    """Removes the origins from a part and from everything in it, such as the branches of a condition."""
    for field, value in part.ListFields():
        if field.name in ORIGINS:
            part.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                remove_origins(each)
