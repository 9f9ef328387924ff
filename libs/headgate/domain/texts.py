"""The texts of a command, in every field of every depth. What the log keeps of them must hold no credentials."""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from headgate.domain.credentials import without_credentials
from headgate.domain.repository import broken_rule
from headgate.v1 import commands_pb2 as commands

MASK = "***"


def as_it_may_be_recorded(command: commands.Command) -> commands.Command:
    """A copy of the command without credentials, and without an address of unknown form, which may hold some."""
    copy = commands.Command()
    copy.CopyFrom(command)
    _replace_texts(copy, _masked)
    return copy


def _masked(field: FieldDescriptor, text: str) -> str:
    masked = without_credentials(text)
    if field.name == "repository" and broken_rule(masked.replace(f"{MASK}@", "")):
        return MASK
    return masked


def _replace_texts(message: Message, changed: Callable[[FieldDescriptor, str], str]) -> None:
    """Replaces each text in place, in nested messages, lists and maps too."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _replace_in_map(field, value, changed)
        elif field.type == field.TYPE_STRING and isinstance(value, str):
            setattr(message, field.name, changed(field, value))
        elif field.type == field.TYPE_STRING:
            value[:] = [changed(field, text) for text in value]
        elif field.type == field.TYPE_MESSAGE:
            for each in (value,) if isinstance(value, Message) else value:
                _replace_texts(each, changed)


def _replace_in_map(field: FieldDescriptor, values: Any, changed: Callable[[FieldDescriptor, str], str]) -> None:
    for key in list(values):
        if isinstance(values[key], Message):
            _replace_texts(values[key], changed)
            continue
        value = values.pop(key)
        key, value = (changed(field, each) if isinstance(each, str) else each for each in (key, value))
        values[key] = value
