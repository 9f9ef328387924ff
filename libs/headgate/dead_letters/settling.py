"""What an operator does with a dead letter: append its record to its topic once more, or say that nobody needs it."""

from dataclasses import dataclass

from headgate.dead_letters.letters import NOT_A_LETTER, SETTLED, Ledger, LetterId, Settlement, State, find
from headgate.log import topics
from headgate.log.port import EventLog, Message, Record
from headgate.log.scan import scan_all
from headgate.v1 import commands_pb2 as commands

REPLAY_HEADER = "headgate-dead-letter"
"""Header of a replayed record: the id of the letter it comes from. Finds the copy after a crash."""


class NoSuchLetter(Exception):
    """There is no letter with this id, or it is kept no more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done with one letter. `done` is false when it was refused; `said` says what or why."""

    letter: LetterId
    done: bool
    said: str


def why_not_replayed(content: commands.DeadLetter) -> str:
    """Why a letter cannot be replayed at all; empty when it can. Pure."""
    if not content.topic:
        return "it tells of work that failed, not of a record: the work is due again when its service starts anew"
    if content.topic == topics.LIFECYCLE:
        return f"the registry is the only writer of {topics.LIFECYCLE}: ask for the change by a command"
    if content.code == NOT_A_LETTER or content.topic == topics.DEAD_LETTERS:
        return f"{topics.DEAD_LETTERS} is the end of the line: only letters are written there"
    if content.truncated:
        return "its bytes were cut when it was buried; publish the original again from where it came"
    if any(header.raw_name for header in content.headers):
        return "a header's name is not UTF-8, which no writer of ours can say again"
    if not any(topic.name == content.topic for topic in topics.TOPICS):
        return f"{content.topic!r} is no topic of Headgate"
    return ""


def replay(ledger: Ledger, letter: LetterId, actor: str, reason: str) -> Outcome:
    """Appends the letter's record to its topic once: claims it, appends, says so. Raises NoSuchLetter, LogError.

    A second call does nothing, and one after a crash finds out whether the record was appended.
    """
    log = ledger.log
    record, content = _existing(log, letter)
    if why := why_not_replayed(content):
        return Outcome(letter, False, why)
    known = ledger.settlement(letter)
    if known.state in SETTLED:
        return Outcome(letter, known.state is State.REPLAYED, told(known))
    claim = _say(log, record, commands.DEAD_LETTER_OUTCOME_REPLAYING, actor, reason)
    held = ledger.settlement(letter)
    if (held.partition, held.offset) != claim:
        return Outcome(letter, False, told(held))
    # Whoever claimed it before us may have come as far as the append.
    if known.state is State.OPEN or not _was_appended(log, letter, content.topic, record.timestamp_ms):
        log.append(copy_of(letter, content))
    _say(log, record, commands.DEAD_LETTER_OUTCOME_REPLAYED, actor, reason)
    return Outcome(letter, True, f"replayed to {content.topic}")


def drop(ledger: Ledger, letter: LetterId, actor: str, reason: str) -> Outcome:
    """Says on the record that nobody needs the letter. Raises NoSuchLetter, LogError."""
    record, _ = _existing(ledger.log, letter)
    known = ledger.settlement(letter)
    if known.state not in SETTLED:  # of a claim that ran out, its holder crashed: the letter is anybody's again
        _say(ledger.log, record, commands.DEAD_LETTER_OUTCOME_DROPPED, actor, reason)
        known = ledger.settlement(letter)
    return Outcome(letter, known.state is State.DROPPED, told(known))


def told(settlement: Settlement) -> str:
    """A settlement in a sentence; empty for an open letter."""
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
    """The buried record as it was, with one more header that names the letter."""
    headers = [(header.name, header.value) for header in content.headers if header.name != REPLAY_HEADER]
    mark = (REPLAY_HEADER, _mark(letter))
    return Message(content.topic, content.key, None if content.null_value else content.value, (*headers, mark))


def _existing(log: EventLog, letter: LetterId) -> tuple[Record, commands.DeadLetter]:
    found = find(log, letter)
    if found is None:
        raise NoSuchLetter(f"there is no dead letter {letter[0]}:{letter[1]}")
    return found


def _say(
    log: EventLog, record: Record, outcome: commands.DeadLetterOutcome.ValueType, actor: str, reason: str
) -> tuple[int, int]:
    """Appends a settlement under the letter's own key, so that it stands behind it in the same partition."""
    settlement = commands.DeadLetterSettled(
        partition=record.partition, offset=record.offset, outcome=outcome, actor=actor, reason=reason
    )
    said = commands.DeadLetter(settled=settlement)
    position = log.append(Message(topics.DEAD_LETTERS, record.key, said.SerializeToString()))
    return position.partition, position.offset


def _was_appended(log: EventLog, letter: LetterId, topic: str, since_ms: int) -> bool:
    mark = (REPLAY_HEADER, _mark(letter))
    return any(mark in record.headers for record in scan_all(log, topic, log.offsets_at(topic, since_ms)))


def _mark(letter: LetterId) -> bytes:
    return f"{letter[0]}:{letter[1]}".encode()
