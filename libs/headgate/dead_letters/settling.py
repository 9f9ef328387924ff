"""How an operator settles a dead letter: append its record to its topic again, or drop it with a reason."""

from dataclasses import dataclass

from headgate.dead_letters.letters import NOT_A_LETTER, SETTLED, Ledger, LetterId, Settlement, State, find
from headgate.domain.credentials import as_it_may_be_kept
from headgate.log import topics
from headgate.log.port import BROKER_SKEW_SECONDS, EventLog, Message, Record
from headgate.log.scan import scan_all
from headgate.v1 import commands_pb2 as commands

REPLAY_HEADER = "headgate-dead-letter"
"""Header of a replayed record, with the id of its letter. After a crash it shows that the record was appended."""


class NoSuchLetter(Exception):
    """No letter has this id, or the letter has expired."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one letter. `done` is false for a refusal. `detail` gives what was done, or why not."""

    letter: LetterId
    done: bool
    detail: str


def why_not_replayed(content: commands.DeadLetter) -> str:
    """Why a letter can never be replayed; empty when it can. Pure."""
    if not content.topic:
        return "it is about failed work, not about a record: the work is due again when its service restarts"
    if content.topic == topics.LIFECYCLE:
        return f"only the registry writes {topics.LIFECYCLE}: send a command that asks for the change"
    if content.code == NOT_A_LETTER or content.topic == topics.DEAD_LETTERS:
        return f"only letters are written to {topics.DEAD_LETTERS}"
    if content.truncated:
        return "its bytes were truncated when it was buried: publish the original record again from its source"
    if any(header.raw_name for header in content.headers):
        return "a header name is not UTF-8, and Headgate cannot write such a name"
    if not any(topic.name == content.topic for topic in topics.TOPICS):
        return f"{content.topic!r} is not a topic of Headgate"
    return ""


def replay(ledger: Ledger, letter: LetterId, actor: str, reason: str) -> Outcome:
    """Appends the letter's record to its topic once. It claims the letter, appends the record and settles the letter.

    A second call does nothing. A call after a crash first checks whether the record was appended.
    Raises NoSuchLetter, LogError.
    """
    log = ledger.log
    record, content = _existing(log, letter)
    if why := why_not_replayed(content):
        return Outcome(letter, False, why)
    known = ledger.settlement(letter)
    if known.state in SETTLED:
        return Outcome(letter, known.state is State.REPLAYED, describe(known))
    claim = _append_settlement(log, record, commands.DEAD_LETTER_OUTCOME_REPLAYING, actor, reason)
    held = ledger.settlement(letter)
    if (held.partition, held.offset) != claim:
        return Outcome(letter, False, describe(held))
    # An earlier caller may have claimed the letter and crashed after the append.
    if known.state is State.OPEN or not _was_appended(log, letter, content.topic, record.timestamp_ms):
        log.append(copy_of(letter, content))
    _append_settlement(log, record, commands.DEAD_LETTER_OUTCOME_REPLAYED, actor, reason)
    return Outcome(letter, True, f"replayed to {content.topic}")


def drop(ledger: Ledger, letter: LetterId, actor: str, reason: str) -> Outcome:
    """Settles the letter without a replay. Raises NoSuchLetter, LogError."""
    record, _ = _existing(ledger.log, letter)
    known = ledger.settlement(letter)
    if known.state not in SETTLED:  # an expired claim does not count: its holder crashed
        _append_settlement(ledger.log, record, commands.DEAD_LETTER_OUTCOME_DROPPED, actor, reason)
        known = ledger.settlement(letter)
    return Outcome(letter, known.state is State.DROPPED, describe(known))


def describe(settlement: Settlement) -> str:
    """What became of a letter, for example "was dropped by ann: a test"; empty for an open letter."""
    if settlement.state is State.OPEN:
        return ""
    words = {
        State.REPLAYING: "is being replayed by",
        State.REPLAYED: "was replayed by",
        State.DROPPED: "was dropped by",
    }
    because = f": {settlement.reason}" if settlement.reason else ""
    return f"{words[settlement.state]} {settlement.actor}{because}"


def copy_of(letter: LetterId, content: commands.DeadLetter) -> Message:
    """The buried record unchanged, with one more header that names the letter."""
    headers = [(header.name, header.value) for header in content.headers if header.name != REPLAY_HEADER]
    mark = (REPLAY_HEADER, _mark(letter))
    return Message(content.topic, content.key, None if content.null_value else content.value, (*headers, mark))


def _existing(log: EventLog, letter: LetterId) -> tuple[Record, commands.DeadLetter]:
    found = find(log, letter)
    if found is None:
        raise NoSuchLetter(f"there is no dead letter {letter[0]}:{letter[1]}")
    return found


def _append_settlement(
    log: EventLog, record: Record, outcome: commands.DeadLetterOutcome.ValueType, actor: str, reason: str
) -> tuple[int, int]:
    """Appends a settlement under the letter's key, so that both are in the same partition."""
    settlement = commands.DeadLetterSettled(
        partition=record.partition,
        offset=record.offset,
        outcome=outcome,
        actor=as_it_may_be_kept(actor),
        reason=as_it_may_be_kept(reason),
    )
    content = commands.DeadLetter(settled=settlement)
    position = log.append(Message(topics.DEAD_LETTERS, record.key, content.SerializeToString()))
    return position.partition, position.offset


def _was_appended(log: EventLog, letter: LetterId, topic: str, since_ms: int) -> bool:
    mark = (REPLAY_HEADER, _mark(letter))
    # Another broker, with another clock, may have taken the copy.
    start = log.offsets_at(topic, since_ms - int(BROKER_SKEW_SECONDS * 1000))
    return any(mark in record.headers for record in scan_all(log, topic, start))


def _mark(letter: LetterId) -> bytes:
    return f"{letter[0]}:{letter[1]}".encode()
