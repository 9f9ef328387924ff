"""Upstream events and worker commands from the log are executed, refused or buried. None is lost or stops others."""

import base64
import json
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.names import event_command_id
from headgate.log import topics
from headgate.log.port import MAX_RECORD_BYTES, PARTITIONS, Headers, Message, record_bytes
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from tests.registry.conftest import Running
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import until

CHANGE = "dev.cdevents.change.merged.0.3.0"


def data(number: int, **custom: str) -> dict[str, Any]:
    fields = {
        "model": "fraud",
        "repository": REPOSITORY,
        "commit": commit(number),
        "message": "raise recall\n",
        **custom,
    }
    return {"subject": {"id": commit(number)}, "customData": {key: text for key, text in fields.items() if text}}


def headers(id_: str, **changed: str) -> Headers:
    attributes = {"specversion": "1.0", "id": id_, "source": "/ci", "type": CHANGE, **changed}
    named = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return (*named, ("content-type", b"application/json"))


def binary(id_: str, body: object, **changed: str) -> Message:
    return Message(topics.INBOX, b"fraud", json.dumps(body).encode(), headers(id_, **changed))


def structured(id_: str, **body: object) -> Message:
    event = {"specversion": "1.0", "id": id_, "source": "/ci", "type": CHANGE, **body}
    mode = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    return Message(topics.INBOX, b"fraud", json.dumps(event).encode(), mode)


def commits(registry: Running, model: str = "fraud") -> list[str]:
    if not any(
        known.name == f"models/{model}"
        for known in registry.models.ListModels(registry_service.ListModelsRequest()).models
    ):
        return []
    versions = registry.models.ListVersions(registry_service.ListVersionsRequest(parent=f"models/{model}")).versions
    return sorted(version.commit for version in versions)


def wait_for(registry: Running, *numbers: int) -> None:
    until(lambda: commits(registry) == [commit(number) for number in numbers], f"versions of {numbers}")


def test_an_event_in_binary_or_structured_mode_creates_a_version(registry: Running) -> None:
    raw = base64.b64encode(json.dumps(data(3)).encode()).decode()
    registry.log.append(binary("1", data(1)))
    registry.log.append(structured("2", data=data(2)))
    registry.log.append(structured("3", data_base64=raw, datacontenttype="application/json"))
    wait_for(registry, 1, 2, 3)
    version = registry.models.GetVersion(registry_service.GetVersionRequest(name="models/fraud/versions/1"))
    assert (version.repository, version.commit_message, version.label) == (REPOSITORY, "raise recall", "created")
    history = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud")).records
    assert (history[0].record.actor, history[0].record.causation_id) == ("/ci", "1")


def test_an_event_without_a_model_belongs_to_the_model_of_its_repository(registry: Running) -> None:
    registry.models.CreateModel(registry_service.CreateModelRequest(model="fraud", repository=REPOSITORY))
    plain = {"subject": {"id": commit(1), "content": {"repository": {"source": REPOSITORY}}}}
    registry.log.append(binary("1", plain))
    wait_for(registry, 1)


def test_an_event_that_arrives_again_has_no_effect(registry: Running) -> None:
    for message in (binary("1", data(1)), binary("1", data(1)), structured("1", data=data(1)), binary("2", data(2))):
        registry.log.append(message)
    wait_for(registry, 1, 2)
    assert registry.refusals() == []


pieces = st.text(st.sampled_from("|1a/"), max_size=6)
events = st.tuples(pieces, pieces)


@given(events, events)
def test_two_events_have_the_same_command_id_only_when_source_and_id_are_the_same(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (event_command_id(*one) == event_command_id(*other)) == (one == other)


def test_the_command_id_of_an_event_without_a_bar_is_the_same_as_in_old_logs() -> None:
    assert event_command_id("/ci", "1") == "/ci|1"


def test_events_that_differ_only_in_where_a_bar_separates_source_and_id_are_two_events(registry: Running) -> None:
    registry.log.append(binary("b|c", data(1), source="/a"))
    registry.log.append(binary("c", data(2), source="/a|b"))
    wait_for(registry, 1, 2)


@pytest.mark.parametrize(
    ("message", "code", "names"),
    [
        (Message(topics.INBOX, b"fraud", b"hello", ()), "malformed-event", "specversion"),
        (Message(topics.INBOX, b"fraud", None, ()), "malformed-event", "specversion"),
        (binary("1", data(1), specversion="0.3"), "malformed-event", "specversion"),
        (structured("1", specversion=None), "malformed-event", "specversion"),
        (structured("1\ud800", data=data(1)), "malformed-event", "id"),
        (binary("1", data(1), type="com.example.push"), "unknown-type", "com.example.push"),
        (binary("1", data(1, model="team/fraud")), "invalid-model", "team/fraud"),
        (binary("1", data(1, model="", repository="elsewhere")), "no-model", "customData.model"),
        (binary("1", [1, 2]), "bad-data", "data"),
        (binary("1", {"customData": 7}), "bad-data", "customData"),
        (structured("1", data=data(1, message="half \ud800")), "bad-data", "message"),
        (Message(topics.INBOX, b"fraud", b"{", headers("1")), "bad-data", "data"),
        (Message(topics.INBOX, b"fraud", b"[" * 100_000, headers("1")), "bad-data", "data"),
    ],
)
def test_an_unusable_event_is_buried_with_its_code_and_its_bytes(
    registry: Running, message: Message, code: str, names: str
) -> None:
    registry.log.append(message)
    registry.log.append(binary("next", data(9)))
    wait_for(registry, 9)
    (letter,) = registry.dead_letters(1)
    assert letter.code == code
    assert names in letter.reason
    assert letter.value == (message.value or b"")
    assert [(header.name, header.value) for header in letter.headers] == list(message.headers)
    assert (letter.topic, letter.service) == (topics.INBOX, "registry-0")


def test_an_event_without_a_commit_is_refused_and_the_refusal_is_recorded(registry: Running) -> None:
    body = data(1, commit="")
    del body["subject"]
    registry.log.append(binary("1", body))
    registry.log.append(binary("2", data(9)))
    wait_for(registry, 9)
    (refusal,) = registry.refusals()
    assert (refusal.code, refusal.field, refusal.actor) == ("invalid-argument", "commit", "/ci")


def test_an_unusable_event_of_the_largest_size_is_buried_and_truncated(registry: Running) -> None:
    empty = Message(topics.INBOX, b"fraud", b"", headers("1"))
    largest = Message(topics.INBOX, b"fraud", b"x" * (MAX_RECORD_BYTES - record_bytes(empty)), headers("1"))
    registry.log.append(largest)
    registry.log.append(binary("2", data(9)))
    wait_for(registry, 9)
    (letter,) = registry.dead_letters(1)
    assert letter.code == "bad-data"
    assert letter.value == b"x" * len(letter.value)
    assert "only the first" in letter.reason


def command(number: int, stream: str = "models/fraud", id_: str = "") -> bytes:
    payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(number))
    return commands.Command(command_id=id_ or f"c{number}", stream=stream, create_version=payload).SerializeToString()


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff\xff\xff",
        None,
        b"not protobuf at all",
        commands.Command(command_id="1").SerializeToString(),
        commands.Command(stream="models/fraud").SerializeToString(),
    ],
)
def test_a_malformed_command_is_buried_and_the_next_one_executed(registry: Running, value: bytes | None) -> None:
    for each in (value, command(9)):
        registry.log.append(Message(topics.COMMANDS, b"models/fraud", each))
    wait_for(registry, 9)
    (letter,) = registry.dead_letters(1)
    assert (letter.code, letter.value) == ("malformed-command", value or b"")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (commands.Command(command_id="1", stream="models/fraud").SerializeToString(), "command"),
        (command(1, stream="fraud"), "stream"),
        (command(1, stream="models/" + "x" * 500_000), "command"),
        (command(1, stream="models/" + "x" * 300_000), "stream"),
        (command(1, id_="x" * 300_000), "command_id"),
        (command(1, stream="environments/production"), "stream"),
    ],
)
def test_an_impossible_command_is_refused_and_the_next_one_executed(
    registry: Running, value: bytes, field: str
) -> None:
    for each in (value, command(9)):
        registry.log.append(Message(topics.COMMANDS, b"models/fraud", each))
    wait_for(registry, 9)
    (refusal,) = registry.refusals()
    assert (refusal.code, refusal.field) == ("invalid-argument", field)


def test_a_command_that_is_too_large_for_a_fact_is_refused_once(registry: Running) -> None:
    registry.models.CreateModel(registry_service.CreateModelRequest(model="fraud"))
    payload = commands.DescribeModel(description="d", repository="x" * 999_900)
    large = commands.Command(command_id="1", stream="models/fraud", describe_model=payload).SerializeToString()
    for value in (large, command(9)):
        registry.log.append(Message(topics.COMMANDS, b"models/fraud", value))
    wait_for(registry, 9)
    assert [refusal.field for refusal in registry.refusals()] == ["command"]


TRACE, HOP = (f"00-4bf92f3577b34da6a3ce929d0e0e473{digit}-00f067aa0ba902b7-01" for digit in "67")


def test_a_fact_continues_the_trace_of_its_event_if_the_trace_is_valid(registry: Running) -> None:
    """The trace in the record's headers goes before the one in the event. An invalid trace counts as no trace."""
    of_hop = binary("6", data(6), traceparent=TRACE)
    events = [
        (binary("1", data(1), traceparent=TRACE), TRACE),
        (structured("2", data=data(2), traceparent=TRACE), TRACE),
        (binary("3", data(3)), ""),
        (binary("4", data(4), traceparent="00-nonsense"), ""),
        (binary("5", data(5), traceparent=TRACE.replace("00-", "ff-", 1)), ""),
        (Message(of_hop.topic, of_hop.key, of_hop.value, (*of_hop.headers, ("traceparent", HOP.encode()))), HOP),
        (Message(of_hop.topic, of_hop.key, binary("7", data(7)).value, (*headers("7"), ("traceparent", b"\xff"))), ""),
    ]
    for message, _ in events:
        registry.log.append(message)
    wait_for(registry, *range(1, 8))
    created = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud")).records
    assert [each.record.trace_parent for each in created] == [continued for _, continued in events]


SECRET = "see https://reader:s3cret@git.example.com/fraud"


def recorded(registry: Running) -> bytes:
    """Everything that the registry has written."""
    kept = (topics.LIFECYCLE, topics.REFUSALS)
    return b"".join(
        record.value or b""
        for topic in kept
        for partition in range(PARTITIONS)
        for record in registry.log.read(topic, partition, 0)
    )


def test_a_commit_message_is_recorded_without_the_credentials_in_it(registry: Running) -> None:
    registry.log.append(binary("1", data(1, message=SECRET)))
    wait_for(registry, 1)
    version = registry.models.GetVersion(registry_service.GetVersionRequest(name="models/fraud/versions/1"))
    assert version.commit_message == "see https://***@git.example.com/fraud"
    assert b"s3cret" not in recorded(registry)


def test_an_event_whose_source_holds_credentials_is_refused_without_them(registry: Running) -> None:
    registry.log.append(binary("1", data(1), source="https://reader:s3cret@ci.example.com/" + "x" * 300))
    registry.log.append(binary("2", data(2), source="https://reader:" + "s3cret" * 50 + "@ci.example.com/"))
    registry.log.append(binary("next", data(9)))
    wait_for(registry, 9)
    until(lambda: len(registry.refusals()) == 2, "both refusals")
    assert b"s3cret" not in recorded(registry)


def test_a_person_is_refused_a_description_or_a_label_with_credentials_and_nothing_is_recorded(
    registry: Running,
) -> None:
    for wrong in ({"description": SECRET}, {"labels": {"see": SECRET}}):
        request = registry_service.CreateModelRequest(model="fraud", **wrong)
        with pytest.raises(grpc.RpcError) as refused:
            registry.models.CreateModel(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "write it without them" in (refused.value.details() or "")
    assert len(registry.refusals()) == 2
    assert b"s3cret" not in recorded(registry)
