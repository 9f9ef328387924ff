"""What becomes of dead letters: every reader agrees, a record is buried once, and replayed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dead_letters.burials import Burials, bury_command
from headgate.dead_letters.letters import (
    CLAIM_MS,
    NOT_A_LETTER,
    OPEN,
    SETTLED,
    Ledger,
    LetterId,
    State,
    find,
    settled,
)
from headgate.dead_letters.settling import REPLAY_HEADER, NoSuchLetter, drop, replay, why_not_replayed
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import MAX_RECORD_BYTES, EventLog, Headers, Message, Record, record_bytes
from headgate.log.scan import scan_all
from headgate.v1 import commands_pb2 as commands

KEY = b"models/fraud"
HEADERS: Headers = (("ce_id", b"1"), ("ce_id", b"\xff"))
REPLAYING, REPLAYED, DROPPED = (
    commands.DEAD_LETTER_OUTCOME_REPLAYING,
    commands.DEAD_LETTER_OUTCOME_REPLAYED,
    commands.DEAD_LETTER_OUTCOME_DROPPED,
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


def stored(log: EventLog, message: Message) -> Record:
    position = log.append(message)
    (record,) = log.read(position.topic, position.partition, position.offset, 1)
    return record


def buried(
    log: EventLog, topic: str = topics.INBOX, value: bytes | None = b"\xff\x00", headers: Headers = HEADERS
) -> LetterId:
    record = stored(log, Message(topic, KEY, value, headers))
    Burials(log, "registry-0").bury(record, "malformed-event", "why")
    at = (record.topic, record.partition, record.offset)
    return next(each.id for each in Ledger(log).summaries() if (each.topic, each.partition, each.offset) == at)


def records(log: EventLog, topic: str) -> list[Record]:
    return list(scan_all(log, topic))


def say(log: EventLog, letter: LetterId, outcome: commands.DeadLetterOutcome.ValueType, actor: str) -> None:
    said = commands.DeadLetterSettled(partition=letter[0], offset=letter[1], outcome=outcome, actor=actor)
    log.append(Message(topics.DEAD_LETTERS, KEY, commands.DeadLetter(settled=said).SerializeToString()))


@pytest.mark.parametrize("value", [b"", None, b"\xff", b"x" * 1000])
def test_a_replayed_record_is_the_buried_one_and_says_where_it_comes_from(log: EventLog, value: bytes | None) -> None:
    letter = buried(log, value=value)
    assert replay(Ledger(log), letter, "ann", "fixed upstream").done
    first, again = records(log, topics.INBOX)
    assert (again.key, again.value, again.headers[:-1]) == (first.key, first.value, first.headers)
    assert again.headers[-1] == (REPLAY_HEADER, f"{letter[0]}:{letter[1]}".encode())
    (summary,) = Ledger(log).summaries()
    assert (summary.settlement.state, summary.settlement.actor) == (State.REPLAYED, "ann")


def test_a_letter_is_replayed_once_however_often_it_is_asked(log: EventLog) -> None:
    letter = buried(log)
    replay(Ledger(log), letter, "ann", "")
    assert replay(Ledger(log), letter, "bob", "").said == "was replayed by ann"
    assert len(records(log, topics.INBOX)) == 2


@pytest.mark.parametrize("came_as_far_as_the_append", [True, False])
def test_a_replay_that_broke_off_is_finished_by_the_next_one(
    log: EventLog, came_as_far_as_the_append: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = buried(log)
    say(log, letter, REPLAYING, "ann")
    if came_as_far_as_the_append:
        mark = (REPLAY_HEADER, f"{letter[0]}:{letter[1]}".encode())
        log.append(Message(topics.INBOX, KEY, b"\xff\x00", (*HEADERS, mark)))
    assert replay(Ledger(log), letter, "bob", "").said == "is being replayed by ann"
    monkeypatch.setattr("headgate.dead_letters.letters.CLAIM_MS", 0)
    assert replay(Ledger(log), letter, "bob", "").done
    assert len(records(log, topics.INBOX)) == 2


def test_a_letter_whose_replay_broke_off_can_be_dropped_once_the_claim_ran_out(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = buried(log)
    claim = commands.DeadLetterSettled(partition=letter[0], offset=letter[1], outcome=REPLAYING, actor="ann")
    log.append(Message(topics.DEAD_LETTERS, KEY, commands.DeadLetter(settled=claim).SerializeToString()))
    assert drop(Ledger(log), letter, "bob", "noise").said == "is being replayed by ann"
    monkeypatch.setattr("headgate.dead_letters.letters.CLAIM_MS", 0)
    assert drop(Ledger(log), letter, "bob", "noise").said == "was dropped by bob: noise"


def test_a_dropped_letter_is_not_replayed_and_a_replayed_one_not_dropped(log: EventLog) -> None:
    dropped, replayed = buried(log), buried(log)
    assert drop(Ledger(log), dropped, "ann", "a test").done
    assert replay(Ledger(log), replayed, "ann", "").done
    assert replay(Ledger(log), dropped, "bob", "").said == "was dropped by ann: a test"
    assert not drop(Ledger(log), replayed, "bob", "too late").done
    assert [summary.settlement.state for summary in Ledger(log).summaries()] == [State.DROPPED, State.REPLAYED]


def test_what_cannot_be_replayed_says_why(log: EventLog) -> None:
    bury_command(log, "models/fraud/versions/1/attempts/1", "ValueError: no", "trainer-0")
    (work,) = Ledger(log).summaries()
    lifecycle = buried(log, topics.LIFECYCLE)
    largest = MAX_RECORD_BYTES - record_bytes(Message(topics.INBOX, KEY, b"", HEADERS))
    cut = buried(log, value=b"x" * largest)
    assert "not of a record" in replay(Ledger(log), work.id, "ann", "").said
    assert "only writer" in replay(Ledger(log), lifecycle, "ann", "").said
    assert "were cut" in replay(Ledger(log), cut, "ann", "").said
    assert {summary.settlement for summary in Ledger(log).summaries()} == {OPEN}
    with pytest.raises(NoSuchLetter):
        replay(Ledger(log), (0, 10**12), "ann", "")
    with pytest.raises(NoSuchLetter):
        drop(Ledger(log), (99, 0), "ann", "no such partition")


def test_a_record_found_again_is_not_buried_again_even_by_another_process(log: EventLog) -> None:
    record = stored(log, Message(topics.INBOX, KEY, b"\xff"))
    first, second = Burials(log, "registry-0"), Burials(log, "registry-1")
    assert first.bury(record, "malformed-event", "why")
    assert not first.bury(record, "malformed-event", "why")
    assert not second.bury(record, "malformed-event", "why")
    assert second.bury(stored(log, Message(topics.INBOX, KEY, b"\xff")), "malformed-event", "why")
    assert len(Ledger(log).summaries()) == 2


@settings(max_examples=20, deadline=None)
@given(poison=st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=6))
def test_whatever_stands_among_the_letters_they_are_all_told(
    tmp_path_factory: pytest.TempPathFactory, poison: list[bytes | None]
) -> None:
    log = open_log(f"sqlite://{tmp_path_factory.mktemp('log')}/log.db")
    log.create_topics(topics.TOPICS)
    for value in poison:
        log.append(Message(topics.DEAD_LETTERS, KEY, value))
    letter = buried(log)
    found = Ledger(log).summaries()
    assert letter in [summary.id for summary in found]
    assert len(found) + len([value for value in poison if is_settlement(value)]) == len(poison) + 1
    assert replay(Ledger(log), letter, "ann", "").done
    log.close()


def is_settlement(value: bytes | None) -> bool:
    try:
        return commands.DeadLetter.FromString(value or b"").HasField("settled")
    except DecodeError:
        return False


def test_bytes_that_are_no_letter_are_shown_and_can_be_dropped_but_not_replayed(log: EventLog) -> None:
    position = log.append(Message(topics.DEAD_LETTERS, b"k", b"\xff\xff", HEADERS))
    letter = (position.partition, position.offset)
    found = find(log, letter)
    assert found is not None
    assert (found[1].code, found[1].value, found[1].key) == (NOT_A_LETTER, b"\xff\xff", b"k")
    assert why_not_replayed(found[1])
    assert drop(Ledger(log), letter, "ann", "noise").done


steps = st.lists(
    st.tuples(st.sampled_from([REPLAYING, REPLAYED, DROPPED, 0, 77]), st.integers(0, 2 * CLAIM_MS)), max_size=12
)


@given(steps=steps)
def test_an_end_is_final_and_every_replay_was_claimed(steps: list[tuple[int, int]]) -> None:
    known, at_ms, claimed = OPEN, 1, False
    for offset, (outcome, pause_ms) in enumerate(steps):
        at_ms += pause_ms
        said = commands.DeadLetterSettled(outcome=outcome)  # type: ignore[arg-type]  # numbers of a newer version, too
        before, known = known, settled(known, said, Record(topics.DEAD_LETTERS, 0, offset, at_ms, b"", b"", ()))
        claimed = claimed or known.state is State.REPLAYING
        if before.state in SETTLED:
            assert known == before
        if known.state is State.REPLAYED:
            assert claimed


def test_the_settlement_of_one_letter_is_that_of_the_list(log: EventLog) -> None:
    first, second = buried(log), buried(log)
    drop(Ledger(log), first, "ann", "a test")
    listed = {summary.id: summary.settlement for summary in Ledger(log).summaries()}
    assert {letter: Ledger(log).settlement(letter) for letter in (first, second)} == listed


def test_many_letters_are_settled_with_one_reading_of_the_topic(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        buried(log, value=b"\xff%d" % number)
    ledger, read = Ledger(log), []
    real = log.read

    def counted(topic: str, partition: int, offset: int, limit: int = 1000) -> object:
        found = real(topic, partition, offset, limit)
        read.extend(found if topic == topics.DEAD_LETTERS and limit > 1 else [])
        return found

    monkeypatch.setattr(log, "read", counted)
    for summary in ledger.summaries():
        assert replay(ledger, summary.id, "ann", "").done
    assert len(read) <= 20 + 2 * 20
