"""No text of any field of any command brings credentials into the log. The fields are found in the descriptors."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from headgate.domain.credentials import TEXT_RULE
from headgate.domain.texts import (
    OF_OTHERS,
    REPOSITORY,
    as_it_may_be_recorded,
    bad_name,
    bad_text,
    with_masked_texts,
)
from headgate.v1 import commands_pb2 as commands

SECRETS = [
    "see https://reader:s3cret@git.example.com/fraud",
    "see https://s3cret@git.example.com/fraud",
    "see https:/reader:s3cret@git.example.com/fraud",
    "clone reader:s3cret@git.example.com:fraud.git",
    "see https://git.example.com/fraud?access_token=s3cret",
    "see https://bucket.example.com/rows.csv?X-Amz-Signature=s3cret&X-Amz-Date=1",
    "kafka://broker:9092?sasl_plain_password=s3cret",
    "jdbc:sqlserver://db.example.com;Password=s3cret",
    "see https:\\\\reader:s3cret@git.example.com/fraud",
    "see https://reader:S's3cret@git.example.com/fraud",
    "see https://git.example.com/fraud%253Ftoken=s3cret",
]
HARMLESS = [
    "see https://git.example.com/fraud/issues/7#comment-3, or mail mara@example.com",
    "git@git.example.com:team/fraud.git at 12:30 in python:3.11@sha256:0a1b",
    "https://git.example.com/fraud?tab=readme&page=2",
    "recall = 0.98 @ threshold = 0.5: ok",
    "https://***@git.example.com/fraud",
]
Path = tuple[FieldDescriptor, ...]


def text_fields(message: Descriptor, above: Path = ()) -> Iterator[Path]:
    """The way to each text in a message, through nested messages, lists and both sides of maps."""
    for field in message.fields:
        if field.type == field.TYPE_STRING:
            yield (*above, field)
        elif field.message_type is not None and field.message_type not in [each.message_type for each in above]:
            yield from text_fields(field.message_type, (*above, field))


def put(message: Message, path: Path, text: str) -> None:
    """Puts the text there. A list gets it as its only element, a map as the key or the value of its only one."""
    field, *rest = path
    here = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        if rest[0].name == "key":
            here[text] if value.message_type is not None else here.update({text: value.default_value})
        elif value.message_type is not None:
            put(here["key"], tuple(rest[1:]), text)
        else:
            here["key"] = text
    elif rest:
        put(here.add() if field.is_repeated else here, tuple(rest), text)
    elif field.is_repeated:
        here.append(text)
    else:
        setattr(message, field.name, text)


FIELDS = list(text_fields(commands.Command.DESCRIPTOR))
NAMES = [path for path in FIELDS if len(path) == 1]
TEXTS = [path for path in FIELDS if len(path) > 1]


def is_plain(path: Path) -> bool:
    """Whether the field has no rule of its own."""
    return path[-1].name not in (REPOSITORY, *OF_OTHERS)


def dotted(path: Path) -> str:
    return ".".join(field.name for field in path)


def command(path: Path, text: str) -> commands.Command:
    made = commands.Command()
    put(made, path, text)
    return made


def test_the_walk_finds_every_kind_of_field() -> None:
    found = {dotted(path) for path in FIELDS}
    assert {
        "actor",
        "create_model.labels.key",
        "create_model.labels.value",
        "tag_version.value",
        "report_candidate_ready.gateways",
        "report_code_tested.fact.configuration.data.uri",
        "set_weights.judgement.explanation",
    } <= found


@pytest.mark.parametrize("path", [path for path in TEXTS if is_plain(path)], ids=dotted)
def test_a_person_cannot_bring_credentials_into_the_log(path: Path) -> None:
    for text in SECRETS:
        refused = bad_text(command(path, text))
        assert refused is not None
        assert (refused.code, refused.rule) == ("invalid-argument", TEXT_RULE)
        assert refused.field in [field.name for field in path]
        assert "write it without them" in refused.message
        assert "s3cret" not in refused.message


@pytest.mark.parametrize("path", NAMES, ids=dotted)
def test_nobody_can_bring_them_into_the_log_by_an_id_or_a_sender(path: Path) -> None:
    for text in SECRETS:
        refused = bad_name(command(path, text))
        assert refused is not None
        assert (refused.field, refused.rule) == (path[0].name, TEXT_RULE)


@pytest.mark.parametrize("path", [path for path in TEXTS if path[-1].name != REPOSITORY], ids=dotted)
def test_what_a_program_reports_is_recorded_without_them(path: Path) -> None:
    for text in SECRETS:
        sent = command(path, text)
        assert "s3cret" not in str(with_masked_texts(sent))
        assert "s3cret" in str(sent)


@pytest.mark.parametrize("path", FIELDS, ids=dotted)
def test_a_refusal_keeps_no_text_that_holds_one(path: Path) -> None:
    for text in SECRETS:
        kept = str(as_it_may_be_recorded(command(path, f"{text} and the pin 4711")))
        assert "s3cret" not in kept
        assert "4711" not in kept


@pytest.mark.parametrize("path", TEXTS, ids=dotted)
def test_any_other_text_is_recorded_as_it_is(path: Path) -> None:
    for text in HARMLESS:
        sent = command(path, text)
        assert bad_text(sent) is None
        assert bad_name(sent) is None
        assert with_masked_texts(sent) is sent
