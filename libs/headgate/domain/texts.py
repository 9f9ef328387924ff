"""The texts of a command, in every field of every depth. What the log keeps of them must hold no credentials.

What a person writes is refused, so that it can be written in another way. What a program reports, such as a commit
message or the output of a test, is recorded without them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from headgate.domain.credentials import TEXT_RULE, as_it_may_be_kept, hides_nothing
from headgate.domain.known_tokens import MASK
from headgate.domain.refusal import INVALID, Refused
from headgate.domain.repository import broken_data_rule, broken_rule
from headgate.v1 import commands_pb2 as commands

REPOSITORY = "repository"
"""The name of the fields that have a rule of their own, in `headgate.domain.repository`."""
ADDRESSES = {REPOSITORY: broken_rule, "uri": broken_data_rule}
"""The rules of the fields that hold an address."""
OF_OTHERS = ("commit_message",)
"""Fields that a person sends but has not written."""


def bad_text(command: commands.Command) -> Refused | None:
    """The refusal of a person's command in which a text of the payload holds credentials. It does not show them."""
    fields = (REPOSITORY, *OF_OTHERS)
    return next((refusal(name) for name, text in _texts(_payload(command)) if name not in fields and _bad(text)), None)


def bad_name(command: commands.Command) -> Refused | None:
    """The refusal of a command whose id, stream, sender or cause holds credentials."""
    own = (field for field, value in command.ListFields() if isinstance(value, str))
    return next((refusal(field.name) for field in own if _bad(getattr(command, field.name))), None)


def refusal(field: str) -> Refused:
    return Refused(INVALID, TEXT_RULE, f"{field}: {TEXT_RULE}", field)


def with_masked_texts(command: commands.Command) -> commands.Command:
    """The command without credentials in its payload; itself when it has none. Its repository stays as it is."""
    if not any(_bad(text) for _, text in _texts(_payload(command))):
        return command
    copy = commands.Command()
    copy.CopyFrom(command)
    _replace_texts(_payload(copy), lambda field, text: text if field.name == REPOSITORY else as_it_may_be_kept(text))
    return copy


def as_it_may_be_recorded(command: commands.Command) -> commands.Command:
    """A copy of a refused command without each text that holds credentials, and without addresses of unknown form.

    Such a text is left out whole, because it may hold a second secret, in a form that nobody knows.
    """
    copy = commands.Command()
    copy.CopyFrom(command)
    _replace_texts(copy, _masked)
    return copy


def _bad(text: str) -> bool:
    return not hides_nothing(text)


def _payload(command: commands.Command) -> Message:
    name = command.WhichOneof("command")
    payload: Message = getattr(command, name) if name else commands.Command()
    return payload


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    """The name of the field and the text, for each text."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            yield from ((field.name, text) for text in ((value,) if isinstance(value, str) else value))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            parts = [part for pair in value.items() for part in pair]
            yield from ((field.name, part) for part in parts if isinstance(part, str))
            for part in parts:
                yield from _texts(part) if isinstance(part, Message) else ()
        elif field.type == field.TYPE_MESSAGE:
            for each in (value,) if isinstance(value, Message) else value:
                yield from _texts(each)


def _masked(field: FieldDescriptor, text: str) -> str:
    rule = ADDRESSES.get(field.name)
    return MASK if _bad(text) or (rule is not None and rule(text)) else text


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
