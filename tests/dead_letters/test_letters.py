"""Dead letters: all readers agree on what became of each, and a record is buried once and replayed once."""

import sqlite3
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


def settle(log: EventLog, letter: LetterId, outcome: commands.DeadLetterOutcome.ValueType, actor: str) -> None:
    settlement = commands.DeadLetterSettled(partition=letter[0], offset=letter[1], outcome=outcome, actor=actor)
    log.append(Message(topics.DEAD_LETTERS, KEY, commands.DeadLetter(settled=settlement).SerializeToString()))


@pytest.mark.parametrize("value", [b"", None, b"\xff", b"x" * 1000])
def test_a_replayed_record_equals_the_buried_one_and_names_its_letter(log: EventLog, value: bytes | None) -> None:
    letter = buried(log, value=value)
    assert replay(Ledger(log), letter, "ann", "fixed upstream").done
    first, again = records(log, topics.INBOX)
    assert (again.key, again.value, again.headers[:-1]) == (first.key, first.value, first.headers)
    assert again.headers[-1] == (REPLAY_HEADER, f"{letter[0]}:{letter[1]}".encode())
    (summary,) = Ledger(log).summaries()
    assert (summary.settlement.state, summary.settlement.actor) == (State.REPLAYED, "ann")


def test_a_letter_is_replayed_once_even_when_asked_twice(log: EventLog) -> None:
    letter = buried(log)
    replay(Ledger(log), letter, "ann", "")
    assert replay(Ledger(log), letter, "bob", "").detail == "was replayed by ann"
    assert len(records(log, topics.INBOX)) == 2


@pytest.mark.parametrize("was_appended", [True, False])
def test_the_next_replay_finishes_one_that_crashed(
    log: EventLog, was_appended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = buried(log)
    settle(log, letter, REPLAYING, "ann")
    if was_appended:
        mark = (REPLAY_HEADER, f"{letter[0]}:{letter[1]}".encode())
        log.append(Message(topics.INBOX, KEY, b"\xff\x00", (*HEADERS, mark)))
    assert replay(Ledger(log), letter, "bob", "").detail == "is being replayed by ann"
    monkeypatch.setattr("headgate.dead_letters.letters.CLAIM_MS", 0)
    assert replay(Ledger(log), letter, "bob", "").done
    assert len(records(log, topics.INBOX)) == 2


def test_a_letter_can_be_dropped_when_the_claim_of_a_crashed_replay_has_expired(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = buried(log)
    claim = commands.DeadLetterSettled(partition=letter[0], offset=letter[1], outcome=REPLAYING, actor="ann")
    log.append(Message(topics.DEAD_LETTERS, KEY, commands.DeadLetter(settled=claim).SerializeToString()))
    assert drop(Ledger(log), letter, "bob", "noise").detail == "is being replayed by ann"
    monkeypatch.setattr("headgate.dead_letters.letters.CLAIM_MS", 0)
    assert drop(Ledger(log), letter, "bob", "noise").detail == "was dropped by bob: noise"


def test_a_dropped_letter_is_not_replayed_and_a_replayed_letter_is_not_dropped(log: EventLog) -> None:
    dropped, replayed = buried(log), buried(log)
    assert drop(Ledger(log), dropped, "ann", "a test").done
    assert replay(Ledger(log), replayed, "ann", "").done
    assert replay(Ledger(log), dropped, "bob", "").detail == "was dropped by ann: a test"
    assert not drop(Ledger(log), replayed, "bob", "too late").done
    assert [summary.settlement.state for summary in Ledger(log).summaries()] == [State.DROPPED, State.REPLAYED]


def test_a_refused_replay_gives_the_reason(log: EventLog) -> None:
    bury_command(log, "models/fraud/versions/1/attempts/1", "ValueError: no", "trainer-0")
    (work,) = Ledger(log).summaries()
    lifecycle = buried(log, topics.LIFECYCLE)
    largest = MAX_RECORD_BYTES - record_bytes(Message(topics.INBOX, KEY, b"", HEADERS))
    cut = buried(log, value=b"x" * largest)
    assert "not about a record" in replay(Ledger(log), work.id, "ann", "").detail
    assert "only the registry writes" in replay(Ledger(log), lifecycle, "ann", "").detail
    assert "were truncated" in replay(Ledger(log), cut, "ann", "").detail
    assert {summary.settlement for summary in Ledger(log).summaries()} == {OPEN}
    with pytest.raises(NoSuchLetter):
        replay(Ledger(log), (0, 10**12), "ann", "")
    with pytest.raises(NoSuchLetter):
        drop(Ledger(log), (99, 0), "ann", "no such partition")


def test_a_record_is_buried_once_even_when_another_process_finds_it(log: EventLog) -> None:
    record = stored(log, Message(topics.INBOX, KEY, b"\xff"))
    first, second = Burials(log, "registry-0"), Burials(log, "registry-1")
    assert first.bury(record, "malformed-event", "why")
    assert not first.bury(record, "malformed-event", "why")
    assert not second.bury(record, "malformed-event", "why")
    assert second.bury(stored(log, Message(topics.INBOX, KEY, b"\xff")), "malformed-event", "why")
    assert len(Ledger(log).summaries()) == 2


def test_letters_are_found_after_their_topic_was_made_again(tmp_path: Path) -> None:
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.create_topics(topics.TOPICS)
    records = [stored(log, Message(topics.INBOX, KEY, b"\xff")) for _ in range(4)]
    first, second = Burials(log, "registry-0"), Burials(log, "registry-1")
    for record in records[:3]:
        assert first.bury(record, "malformed-event", "why")
    with sqlite3.connect(tmp_path / "log.db") as database:
        of_letters = "topic_id = (SELECT topic_id FROM topics WHERE name = ?)"
        database.execute(f"DELETE FROM log WHERE {of_letters}", (topics.DEAD_LETTERS,))
    database.close()
    assert second.bury(records[3], "malformed-event", "why")
    assert not first.bury(records[3], "malformed-event", "why")
    log.close()


@settings(max_examples=20)
@given(values=st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=6))
def test_records_that_are_not_letters_do_not_hide_the_letters(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes | None]
) -> None:
    log = open_log(f"sqlite://{tmp_path_factory.mktemp('log')}/log.db")
    log.create_topics(topics.TOPICS)
    for value in values:
        log.append(Message(topics.DEAD_LETTERS, KEY, value))
    letter = buried(log)
    found = Ledger(log).summaries()
    assert letter in [summary.id for summary in found]
    assert len(found) + len([value for value in values if is_settlement(value)]) == len(values) + 1
    assert replay(Ledger(log), letter, "ann", "").done
    log.close()


def is_settlement(value: bytes | None) -> bool:
    try:
        return commands.DeadLetter.FromString(value or b"").HasField("settled")
    except DecodeError:
        return False


def test_a_record_that_is_not_a_letter_is_listed_and_can_be_dropped_but_not_replayed(log: EventLog) -> None:
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
def test_a_settlement_is_final_and_a_replay_needs_a_claim(steps: list[tuple[int, int]]) -> None:
    known, at_ms, claimed = OPEN, 1, False
    for offset, (outcome, pause_ms) in enumerate(steps):
        at_ms += pause_ms
        change = commands.DeadLetterSettled(outcome=outcome)  # type: ignore[arg-type]  # numbers of a newer version, too
        before, known = known, settled(known, change, Record(topics.DEAD_LETTERS, 0, offset, at_ms, b"", b"", ()))
        claimed = claimed or known.state is State.REPLAYING
        if before.state in SETTLED:
            assert known == before
        if known.state is State.REPLAYED:
            assert claimed


def test_a_letter_has_the_same_settlement_alone_and_in_the_list(log: EventLog) -> None:
    first, second = buried(log), buried(log)
    drop(Ledger(log), first, "ann", "a test")
    listed = {summary.id: summary.settlement for summary in Ledger(log).summaries()}
    assert {letter: Ledger(log).settlement(letter) for letter in (first, second)} == listed


def test_settling_many_letters_reads_the_topic_once(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
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
