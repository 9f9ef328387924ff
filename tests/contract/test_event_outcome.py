"""What became of an event is found on every log, without a service. The test writes what a registry would write."""

import json
import uuid

from headgate.cli.event_outcome import Copy, Outcome, Status, copies_of, outcome_of
from headgate.dead_letters import settling
from headgate.dead_letters.burials import Burials
from headgate.dead_letters.letters import Ledger, State
from headgate.domain.names import event_command_id
from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.log import topics
from headgate.log.envelope import CloudEvent, encode
from headgate.log.port import EventLog, Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.waiting import until

RECORDS = 1_000
SOURCE = "my-ci"


class Inbox:
    """The inbox, and a registry whose steps the test takes one by one."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.key = uuid.uuid4().hex.encode()
        stream = new_stream(f"models/m{self.key.decode()}")
        assert stream is not None
        self.stream = stream
        log.create_topics(topics.TOPICS)

    def send(self, id_: str, source: str = SOURCE) -> None:
        event = CloudEvent(id=id_, source=source, type="dev.cdevents.change.merged", data=json.dumps({}).encode())
        headers, value = encode(event)
        self.log.append(Message(topics.INBOX, self.key, value, headers))

    def read_all(self) -> None:
        """Commits everything as the group of the registries does."""
        ends = self.log.end(topics.INBOX)
        with self.log.consumer(topics.INBOX, topics.REGISTRY_GROUP, "test") as consumer:

            def is_read() -> bool:
                consumer.commit(consumer.poll(0.2))
                committed = self.log.committed(topics.INBOX, topics.REGISTRY_GROUP)
                return all(committed.get(partition, 0) >= end for partition, end in ends.items())

            until(is_read)

    def accept(self, id_: str, version: int) -> None:
        command = commands.Command(command_id=event_command_id(SOURCE, id_), stream=self.stream.name, actor=SOURCE)
        record = record_of(command, facts.VersionCreated(version=version), self.stream, 1)
        message = message_of(record)
        at = self.log.append(message)
        assert self.stream.accept(record, message.value or b"", at.partition, at.offset)

    def refuse(self, id_: str, at_ms: int = 1) -> None:
        refusal = commands.Refusal(
            command_id=event_command_id(SOURCE, id_), code="already-exists", message="it exists", refused_at_ms=at_ms
        )
        self.log.append(Message(topics.REFUSALS, self.key, refusal.SerializeToString()))

    def bury(self, id_: str) -> None:
        Burials(self.log, "registry").bury(self.copies(id_)[-1].record, "bad-data", "data is not JSON")

    def copies(self, id_: str) -> list[Copy]:
        return copies_of(self.log, id_, SOURCE, RECORDS)

    def outcome(self, id_: str) -> Outcome:
        return outcome_of(self.log, self.copies(id_), RECORDS)


def test_the_outcome_of_an_event_is_its_fact_its_refusal_its_dead_letter_or_nothing_yet(log: EventLog) -> None:
    inbox = Inbox(log)
    accepted, refused, buried, silent, dropped = (uuid.uuid4().hex for _ in range(5))
    for id_ in (accepted, refused, buried, silent, dropped):
        inbox.send(id_)
    assert inbox.outcome(accepted).status is Status.NOT_READ
    before = inbox.outcome(accepted).waiting
    assert [inbox.outcome(id_).waiting - before for id_ in (refused, buried, silent)] == [1, 2, 3]
    inbox.accept(accepted, version=7)
    inbox.refuse(refused)
    inbox.bury(buried)
    inbox.bury(dropped)
    assert inbox.outcome(silent).status is Status.NOT_READ
    inbox.read_all()
    found = inbox.outcome(accepted)
    assert (found.status, found.fact and found.fact.version_created.version) == (Status.ACCEPTED, 7)
    found = inbox.outcome(refused)
    assert (found.status, found.refusal and found.refusal.code) == (Status.REFUSED, "already-exists")
    found = inbox.outcome(buried)
    assert (found.status, found.letter and found.letter.reason) == (Status.BURIED, "data is not JSON")
    assert inbox.outcome(silent).status is Status.UNKNOWN
    last = inbox.outcome(dropped).letter
    assert last is not None
    assert settling.drop(Ledger(log), last.id, "ada", "no use").done
    last = inbox.outcome(dropped).letter
    assert (last and last.settlement.state, last and last.settlement.reason) == (State.DROPPED, "no use")
    # A letter that is replayed is another copy, and its outcome is that of the event.
    assert found.letter is not None
    assert settling.replay(Ledger(log), found.letter.id, "ada", "mended").done
    assert inbox.outcome(buried).status is Status.NOT_READ
    inbox.accept(buried, version=8)
    found = inbox.outcome(buried)
    assert (found.status, found.fact and found.fact.version_created.version) == (Status.ACCEPTED, 8)


def test_only_the_newest_records_are_read(log: EventLog) -> None:
    inbox = Inbox(log)
    old, new = uuid.uuid4().hex, uuid.uuid4().hex
    inbox.send(old)
    inbox.send(new)
    assert copies_of(log, new, SOURCE, 1)
    assert not copies_of(log, old, SOURCE, 1)
    assert copies_of(log, old, SOURCE, 2)
