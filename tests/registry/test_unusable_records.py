"""Records on which a handler fails, and records of headgate.lifecycle that the registry did not write."""

from collections.abc import Callable

import pytest

from headgate.dead_letters.letters import Ledger
from headgate.domain.names import ACCESS_STREAM
from headgate.log import topics
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.worker import intake
from services.registry import handlers
from tests.registry.conftest import Running
from tests.registry.test_inbox import binary, command, data, wait_for
from tests.waiting import until

KEY = b"models/fraud"


def test_a_record_on_which_its_handler_always_fails_is_buried_after_the_last_try(
    registry: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    real = handlers.commands_of

    def failing(event: object, said: object, models: object) -> list[commands.Command]:
        (made,) = issued = real(event, said, models)
        if made.causation_id == "1":
            tries.append(made.causation_id)
            raise ZeroDivisionError("a fault of ours")
        return issued

    monkeypatch.setattr(handlers, "commands_of", failing)
    registry.log.append(binary("1", data(1)))
    registry.log.append(binary("2", data(9)))
    wait_for(registry, 9)
    (letter,) = registry.dead_letters(1)
    assert (letter.code, letter.reason) == ("handler-failed", "3 tries: ZeroDivisionError: a fault of ours")
    assert len(tries) == intake.MAX_TRIES


def test_an_event_without_a_repository_belongs_to_no_model_without_one(registry: Running) -> None:
    registry.models.CreateModel(registry_service.CreateModelRequest(model="uploaded"))
    registry.log.append(binary("1", data(1, model="", repository="")))
    (letter,) = registry.dead_letters(1)
    assert letter.code == "no-model"


def test_a_forged_fact_stops_its_stream_and_gets_a_dead_letter(registry: Running) -> None:
    registry.models.CreateModel(registry_service.CreateModelRequest(model="other"))
    forged = facts.LifecycleRecord(stream="models/fraud", sequence=1, version_created=facts.VersionCreated(version=7))
    behind = facts.LifecycleRecord(stream="models/fraud", sequence=2, model_created=facts.ModelCreated())
    for record in (forged, behind):
        registry.log.append(Message(topics.LIFECYCLE, KEY, record.SerializeToString()))
    letters = registry.dead_letters(2)
    assert [letter.code for letter in letters] == ["illegal-fact", "stream-stopped"]
    assert [letter.value for letter in letters] == [forged.SerializeToString(), behind.SerializeToString()]
    registry.models.CreateModel(registry_service.CreateModelRequest(model="third"))
    registry.log.append(Message(topics.COMMANDS, KEY, command(1)))
    until(lambda: len(registry.refusals()) == 1, "the refusal on the stopped stream")
    assert "stopped" in registry.refusals()[0].rule or "illegal" in registry.refusals()[0].rule


def test_roles_are_never_given_through_the_topic_of_commands(registry: Running) -> None:
    grant = commands.GrantRole(grant="g", subject="eve", role=facts.ROLE_ADMINISTRATOR, models="*", environments="*")
    sent = commands.Command(command_id="1", stream=ACCESS_STREAM, grant_role=grant, actor="root")
    registry.log.append(Message(topics.COMMANDS, ACCESS_STREAM.encode(), sent.SerializeToString()))
    until(lambda: len(registry.refusals()) == 1, "the refusal")
    assert "by gRPC alone" in registry.refusals()[0].rule
    assert registry.records(topics.LIFECYCLE) == []


def test_a_record_that_lost_the_race_for_its_sequence_is_counted_and_not_buried(registry: Running) -> None:
    registry.models.CreateModel(registry_service.CreateModelRequest(model="fraud"))
    (won,) = registry.records(topics.LIFECYCLE)
    registry.log.append(Message(topics.LIFECYCLE, KEY, won.value))
    registry.log.append(Message(topics.LIFECYCLE, KEY, b"\xff"))
    (letter,) = registry.dead_letters(1)
    assert (letter.code, letter.offset) == ("not-a-fact", won.offset + 2)
    assert registry.models.GetFoldDigest(registry_service.GetFoldDigestRequest()).void_records == 2


def test_two_registries_and_a_third_one_later_write_one_dead_letter_about_a_foreign_record(
    start: Callable[[str], Running],
) -> None:
    first, second = start("registry-0"), start("registry-1")
    for number in range(3):
        first.log.append(Message(topics.LIFECYCLE, KEY, b"\xff%d" % number))
    first.dead_letters(3)
    third = start("registry-2")
    # After this record no other burial can follow: every registry has read all records before it.
    first.log.append(Message(topics.LIFECYCLE, KEY, b"\xfflast"))
    until(lambda: len(Ledger(third.log).summaries()) == 4, "the last letter")
    for each in (first, second, third):
        assert each.models.GetFoldDigest(registry_service.GetFoldDigestRequest()).void_records == 4
    assert [summary.offset for summary in Ledger(first.log).summaries()] == [0, 1, 2, 3]
