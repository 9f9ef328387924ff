"""Records a history: a story sends commands to the registry's decider, and its log becomes the history."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import Message as Protobuf

from headgate.access.folded import grants_of, subject_named
from headgate.access.grants import Target
from headgate.access.held import held_roles
from headgate.domain.fact import Fact
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import Stream, message_of, new_stream, record_of
from headgate.log import topics
from headgate.log.port import EventLog, Message
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.registry.decider import Decided, Decider
from tests.histories.history import Entry
from tests.waiting import PATIENCE_SECONDS

BEGIN_MS = 1_760_000_000_000
STEP_MS = 1_000

FIELDS = {
    field.message_type.name: field.name
    for field in commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields
    if field.message_type is not None
}


class _Proven:
    """A sender who has proven its name, and may do everything."""

    def __init__(self, fold: LifecycleFold, actor: str) -> None:
        self._fold, self._actor = fold, actor

    def require(self) -> None:
        pass

    def held(self, model: str) -> list[facts.HeldRole]:
        return held_roles(subject_named(self._actor), grants_of(self._fold.access), Target(model))


class Recorder:
    """Decides the commands of a story. Each comes one second after the last one and has its own id."""

    def __init__(self, log: EventLog, fold: LifecycleFold) -> None:
        self.now_ms = BEGIN_MS
        self._log, self._fold = log, fold
        self._count = 0
        self._decider = Decider(log, fold, lambda: self.now_ms, Metrics("registry"))

    def send(self, stream: str, *bodies: Protobuf, actor: str = "ada@example.org", proven: bool = False) -> None:
        """Decides each command. Each must lead to a fact. `proven` says that the actor has proven its name."""
        for body in bodies:
            sender = _Proven(self._fold, actor) if proven else None
            outcome = self._decider.execute(self._command(stream, body, actor), sender=sender)
            assert isinstance(outcome, Decided), outcome
            assert outcome.record is not None, f"this fact holds already: {body}"

    def wait(self, seconds: int) -> None:
        """Moves the clock of the story forward."""
        self.now_ms += seconds * 1000

    def release(self, stream: str, number: int) -> resources.Release:
        """The present state of a release."""
        state = self._stream(stream).state
        assert isinstance(state, ModelState)
        return state.releases[number]

    def live(self, stream: str) -> int:
        """The version that is live in production; 0 when there is none."""
        state = self._stream(stream).state
        assert isinstance(state, ModelState)
        return state.model.live.get("production", 0)

    def next_record(self, stream: str, fact: Fact, actor: str = "ada@example.org") -> facts.LifecycleRecord:
        """A record with this fact that follows the head of the stream, as another program could write it."""
        command = self._command(stream, None, actor)
        return record_of(command, fact, self._stream(stream), self.now_ms)

    def append(self, record: facts.LifecycleRecord, unknown: bytes = b"") -> None:
        """Appends a record as another program could, with protobuf fields that this version does not know."""
        message = message_of(record)
        self._append(Message(message.topic, message.key, (message.value or b"") + unknown, message.headers))

    def append_bytes(self, stream: str, value: bytes) -> None:
        """Appends bytes that are not a record."""
        self._append(Message(topics.LIFECYCLE, stream.encode(), value))

    def _append(self, message: Message) -> None:
        at = self._log.append(message)
        assert self._fold.wait_position(at.partition, at.offset, PATIENCE_SECONDS)

    def _stream(self, name: str) -> Stream:
        stream = self._fold.streams.get(name) or new_stream(name)
        assert stream is not None
        return stream

    def _command(self, stream: str, body: Protobuf | None, actor: str) -> commands.Command:
        self._count += 1
        self.now_ms += STEP_MS
        command = commands.Command(command_id=f"command-{self._count}", stream=stream, actor=actor)
        if body is not None:
            getattr(command, FIELDS[type(body).__name__]).CopyFrom(body)
        return command


@contextmanager
def new_recorder(path: Path) -> Iterator[tuple[Recorder, EventLog]]:
    """A recorder on a new log in this folder."""
    log = SqliteLog(path / "log.db")
    log.create_topics(topics.TOPICS)
    fold = LifecycleFold(log)
    fold.start()
    try:
        assert fold.wait_caught_up(PATIENCE_SECONDS)
        yield Recorder(log, fold), log
    finally:
        fold.close()
        log.close()


def entries_of(log: EventLog, streams: Sequence[str] = ()) -> list[Entry]:
    """The lifecycle records of a log whose key is one of these streams. Without streams, all records."""
    wanted = {name.encode() for name in streams}
    found: list[Entry] = []
    for partition, end in sorted(log.end(topics.LIFECYCLE).items()):
        offset = 0
        while offset < end and (page := log.read(topics.LIFECYCLE, partition, offset)):
            found += [Entry(r.partition, r.offset, r.value or b"") for r in page if not wanted or r.key in wanted]
            offset = page[-1].offset + 1
    return found
