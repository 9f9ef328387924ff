"""The trace of a fact: it is part of the record but not of the state, and the fold remembers the newest ones."""

import pytest
from google.protobuf.message import Message

from headgate.domain.subject import subject_of
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.fold import Fold
from headgate.lifecycle.stream import MAX_TRACED, message_of, new_stream, record_of
from headgate.log.envelope import decode
from headgate.log.port import Record
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STREAM = "models/fraud"


def folded(count: int, trace_parent: str = "") -> tuple[Fold, list[Record]]:
    """A fold of so many versions, and its records."""
    fold, records = Fold(), []
    for number in range(1, count + 1):
        stream = fold.streams.get(STREAM) or new_stream(STREAM)
        assert stream is not None
        parent = trace_parent.replace("b7-", f"{number % 256:02x}-") if trace_parent else ""
        command = commands.Command(command_id=str(number), stream=STREAM, trace_parent=parent)
        fact = facts.VersionCreated(version=number, repository="/r", commit=f"{number:040x}")
        message = message_of(record_of(command, fact, stream, number))
        records.append(Record(message.topic, 0, number, 1, message.key, message.value, message.headers))
        assert fold.apply(records[-1]) is not None
    return fold, records


def test_a_traced_fact_has_its_parent_in_the_record_and_in_the_envelope() -> None:
    _, (record,) = folded(1, PARENT)
    written = facts.LifecycleRecord.FromString(record.value or b"").trace_parent
    assert decode(record).attributes["traceparent"] == written
    assert written.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")


def test_an_untraced_fact_has_the_same_bytes_as_before_traces_existed() -> None:
    _, (record,) = folded(1)
    numbers = {field.number for field, _ in facts.LifecycleRecord.FromString(record.value or b"").ListFields()}
    assert facts.LifecycleRecord.DESCRIPTOR.fields_by_name["trace_parent"].number not in numbers
    assert "traceparent" not in decode(record).attributes


def test_a_trace_changes_the_chain_but_not_the_state() -> None:
    traced, untraced = folded(3, PARENT)[0].streams[STREAM], folded(3)[0].streams[STREAM]
    assert state_digest(traced) == state_digest(untraced)
    assert traced.digest != untraced.digest


def test_only_the_newest_traces_are_remembered() -> None:
    stream = folded(MAX_TRACED + 10, PARENT)[0].streams[STREAM]
    assert len(stream.traces) == MAX_TRACED
    assert "versions/10" not in stream.traces
    assert stream.traces[f"versions/{MAX_TRACED + 10}"].endswith(f"{MAX_TRACED + 10:02x}-01")


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (facts.VersionCreated(version=3), "versions/3"),
        (facts.ReleaseRequested(release=2, candidate=3), "releases/2"),
        (facts.PolicySet(), ""),
        (commands.StartRelease(candidate=3), "versions/3"),
        (commands.PromoteRelease(release=2), "releases/2"),
        (commands.ReportTrainingFinished(fact=facts.TrainingFinished(version=3)), "versions/3"),
        (commands.CreateModel(), ""),
    ],
)
def test_a_message_is_about_its_release_or_its_version(message: Message, subject: str) -> None:
    assert subject_of(message) == subject
