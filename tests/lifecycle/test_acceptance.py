"""Many writers, old heads, repeated, reordered and invalid records: there is one chain, and all folds agree on it."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.domain import model
from headgate.domain.refusal import Refused
from headgate.domain.state import ModelState
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.fold import Fold
from headgate.lifecycle.stream import event_id, message_of, new_stream, parse, record_of
from headgate.log.envelope import digest
from headgate.log.port import Message, Record
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

WRITERS = 3
STREAMS = ("models/churn", "models/fraud")


@dataclass
class Log:
    """One partition of headgate.lifecycle."""

    records: list[Record] = field(default_factory=list)

    def append(self, message: Message) -> None:
        self.records.append(Record(message.topic, 0, len(self.records), 0, message.key, message.value, message.headers))


@dataclass
class Writer:
    """Decides on a fold that may be old, and may send its records later."""

    log: Log
    fold: Fold = field(default_factory=Fold)
    seen: int = 0
    held: list[Message] = field(default_factory=list)

    def catch_up(self, steps: int) -> None:
        for record in self.log.records[self.seen : self.seen + steps]:
            self.fold.apply(record)
            self.seen += 1

    def decide(self, name: str, number: int) -> None:
        stream = self.fold.streams.get(name) or new_stream(name)
        assert stream is not None
        assert isinstance(stream.state, ModelState)
        create = commands.CreateVersion(repository="/r", commit=f"{number:040x}")
        command = commands.Command(command_id=f"c{number}", stream=name, create_version=create)
        fact = model.decide(stream.state, create, number, {}, command.actor)
        if fact is not None and not isinstance(fact, Refused):
            self.held.append(message_of(record_of(command, fact, stream, number)))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, WRITERS - 1), st.sampled_from(STREAMS), st.integers(1, 30)),
        st.tuples(st.just("catch up"), st.integers(0, WRITERS - 1), st.integers(1, 20), st.none()),
        st.tuples(st.just("send"), st.integers(0, WRITERS - 1), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("invalid"), st.binary(max_size=40), st.none(), st.none()),
        st.tuples(st.just("repeat"), st.integers(0, 50), st.none(), st.none()),
    ),
    max_size=60,
)


def play(script: list[tuple[object, ...]]) -> Log:
    log = Log()
    writers = [Writer(log) for _ in range(WRITERS)]
    for step in script:
        match step:
            case ("decide", int(writer), str(name), int(number)):
                writers[writer].decide(name, number)
            case ("catch up", int(writer), int(count), None):
                writers[writer].catch_up(count)
            case ("send", int(writer), int(index), bool(again)):
                send(log, writers[writer].held, index, again)
            case ("invalid", bytes(value), None, None):
                log.append(Message("headgate.lifecycle", b"", value))
            case ("repeat", int(index), None, None):
                repeat(log, index)
    return log


def send(log: Log, held: list[Message], index: int, again: bool) -> None:
    """Sends one of the held records. With `again`, it can be sent a second time."""
    if held:
        message = held[index % len(held)]
        log.append(message)
        if not again:
            held.remove(message)


def repeat(log: Log, index: int) -> None:
    if log.records:
        old = log.records[index % len(log.records)]
        log.append(Message(old.topic, old.key, old.value, old.headers))


@settings(max_examples=150)
@given(steps)
def test_there_is_one_chain_and_all_folds_agree_on_it(script: list[tuple[object, ...]]) -> None:
    log = play(script)
    fold = Fold()
    accepted: dict[str, list[facts.LifecycleRecord]] = {}
    heads: dict[str, bytes] = {}
    for record in log.records:
        lifecycle = fold.apply(record)
        if lifecycle is None:
            continue
        chain = accepted.setdefault(lifecycle.stream, [])
        assert lifecycle.sequence == len(chain) + 1
        assert lifecycle.previous_digest == heads.get(lifecycle.stream, b"")
        heads[lifecycle.stream] = digest(record.value or b"")
        chain.append(lifecycle)
    assert fold.revision + fold.void_records == len(log.records)
    assert {name: stream.digest for name, stream in fold.streams.items()} == heads
    assert not any(stream.broken for stream in fold.streams.values())
    for chain in accepted.values():
        assert len({record.event_id for record in chain}) == len(chain)
    again = Fold()
    for record in log.records:
        again.apply(record)
    assert {name: state_digest(stream) for name, stream in again.streams.items()} == {
        name: state_digest(stream) for name, stream in fold.streams.items()
    }


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_reordered_records_never_build_another_chain(seed: int) -> None:
    log = Log()
    writer = Writer(log)
    for number in range(1, 9):
        writer.decide("models/fraud", number)
        log.append(writer.held.pop())
        writer.catch_up(1)
    shuffled = list(log.records)
    random.Random(seed).shuffle(shuffled)
    fold = Fold()
    for record in shuffled:
        fold.apply(record)
    stream = fold.streams.get("models/fraud")
    length = stream.sequence if stream is not None else 0
    expected = b"" if not length else digest(log.records[length - 1].value or b"")
    assert (stream.digest if stream is not None else b"") == expected
    assert fold.void_records == len(shuffled) - length


def test_the_chain_ends_at_a_record_with_a_changed_byte() -> None:
    log = Log()
    writer = Writer(log)
    for number in range(1, 5):
        writer.decide("models/fraud", number)
        log.append(writer.held.pop())
        writer.catch_up(1)
    forged = parse(log.records[1].value or b"")
    assert forged is not None
    forged.version_created.commit = "f" * 40
    records = list(log.records)
    old = records[1]
    records[1] = Record(old.topic, 0, 1, 0, old.key, forged.SerializeToString(deterministic=True), old.headers)
    fold = Fold()
    for record in records:
        fold.apply(record)
    assert (fold.streams["models/fraud"].sequence, fold.void_records) == (2, 2)


streams = st.builds("{}/{}".format, st.sampled_from(["models", "environments"]), st.sampled_from(["a", "a-b", "ab"]))
command_ids = st.text(st.sampled_from("|a/b"), max_size=8)
named_commands = st.tuples(streams, command_ids)


@given(named_commands, named_commands)
def test_two_commands_have_the_same_event_id_only_when_stream_and_id_are_the_same(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (event_id(*one) == event_id(*other)) == (one == other)


@given(st.text(max_size=10), st.text(max_size=10))
def test_the_name_of_a_stream_never_contains_the_separator_of_an_event_id(before: str, after: str) -> None:
    assert new_stream(f"models/{before}|{after}") is None
