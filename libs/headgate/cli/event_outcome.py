"""Finds what became of an event of the inbox: the fact of its command, a refusal, a dead letter, or nothing yet.

It reads the log alone. Each topic is read from its end backwards, and not further than a limit.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from google.protobuf.message import DecodeError

from headgate.dead_letters.letters import OPEN, LetterId, Settlement, Summary, parse_letter, settled, summary_of
from headgate.domain.names import MAX_ID, event_command_id
from headgate.lifecycle.stream import parse
from headgate.log import topics
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.port import PARTITIONS, EventLog, Record
from headgate.log.scan import scan
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

DEFAULT_RECORDS = 10_000
MAX_RECORDS = 1_000_000
"""The most records of each partition that one look at a topic reads."""


class Status(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    BURIED = "buried"
    NOT_READ = "not read yet"
    UNKNOWN = "read, but no outcome was found"


@dataclass(frozen=True, slots=True)
class Copy:
    """An event and one record that holds it. A dead letter that is replayed makes another copy."""

    event: CloudEvent
    record: Record

    @property
    def command_id(self) -> str:
        return event_command_id(self.event.source, self.event.id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event. Only the fields that its status needs are set."""

    status: Status
    fact: facts.LifecycleRecord | None = None
    refusal: commands.Refusal | None = None
    letter: Summary | None = None
    waiting: int = 0
    """How many records the registry reads before this event, while it has not read it."""


def copies_of(
    log: EventLog, event_id: str, source: str, limit: int, partitions: Collection[int] = range(PARTITIONS)
) -> list[Copy]:
    """The records of the inbox with this event, oldest first. Without a source, of every source. Raises LogError."""
    found = []
    for record in _newest(log, topics.INBOX, limit, partitions):
        try:
            event = decode(record)
        except MalformedEvent:
            continue
        if event.id == event_id and source in ("", event.source):
            found.append(Copy(event, record))
    return sorted(found, key=lambda copy: (copy.record.timestamp_ms, copy.record.partition, copy.record.offset))


def outcome_of(log: EventLog, copies: Sequence[Copy], limit: int) -> Outcome:
    """What became of an event that has these copies. Raises LogError."""
    newest, command_id = copies[-1].record, copies[-1].command_id
    places = {(copy.record.partition, copy.record.offset) for copy in copies}
    # Before everything else. What the registry does meanwhile is then found below.
    committed = log.committed(topics.INBOX, topics.REGISTRY_GROUP).get(newest.partition, 0)
    return decide(
        newest,
        committed,
        accepted_fact(_newest(log, topics.LIFECYCLE, limit), command_id),
        newest_refusal(_newest(log, topics.REFUSALS, limit), command_id),
        letters_about(_newest(log, topics.DEAD_LETTERS, limit), places),
        is_only_copy=len(copies) == 1,
    )


def decide(
    newest: Record,
    committed: int,
    fact: facts.LifecycleRecord | None,
    refusal: commands.Refusal | None,
    letters: Mapping[tuple[int, int], Summary],
    is_only_copy: bool,
) -> Outcome:
    """The outcome, from what the topics hold.

    A fact is final. Otherwise the newest copy counts: an earlier one may have been refused, or buried and replayed.
    `committed` is the offset that the registry reads next.
    """
    is_read = newest.offset < committed
    letter = letters.get((newest.partition, newest.offset))
    if fact is not None:
        return Outcome(Status.ACCEPTED, fact=fact)
    if letter is not None:
        return Outcome(Status.BURIED, letter=letter)
    if refusal is not None and (is_read or is_only_copy):
        return Outcome(Status.REFUSED, refusal=refusal)
    if is_read:
        return Outcome(Status.UNKNOWN)
    return Outcome(Status.NOT_READ, waiting=newest.offset - committed)


def accepted_fact(records: Iterator[Record], command_id: str) -> facts.LifecycleRecord | None:
    """The fact of the command; None when there is none.

    Of records of a stream with the same sequence, the first one in the log is the accepted one. The others are void.
    """
    taken: set[tuple[str, int, bytes]] = set()
    found = None
    for record in records:
        fact = parse(record.value or b"")
        if fact is None or (place := (fact.stream, fact.sequence, fact.previous_digest)) in taken:
            continue
        taken.add(place)
        if fact.command_id == command_id:
            found = fact
    return found


def newest_refusal(records: Iterator[Record], command_id: str) -> commands.Refusal | None:
    """The last refusal of the command; None when there is none. A refusal keeps only the begin of a long id."""
    found = None
    for record in records:
        try:
            refusal = commands.Refusal.FromString(record.value or b"")
        except DecodeError:
            continue
        if refusal.command_id == command_id[:MAX_ID] and (
            found is None or found.refused_at_ms <= refusal.refused_at_ms
        ):
            found = refusal
    return found


def letters_about(records: Iterator[Record], places: Collection[tuple[int, int]]) -> dict[tuple[int, int], Summary]:
    """The dead letters about these positions of the inbox, with what became of each."""
    letters: dict[tuple[int, int], Summary] = {}
    settlements: dict[LetterId, Settlement] = {}
    for record in records:
        content = parse_letter(record)
        place = (content.partition, content.offset)
        if content.HasField("settled"):
            letter = (content.settled.partition, content.settled.offset)
            settlements[letter] = settled(settlements.get(letter, OPEN), content.settled, record)
        elif content.topic == topics.INBOX and place in places:
            letters.setdefault(place, summary_of(record, content))
    return {place: replace(letter, settlement=settlements.get(letter.id, OPEN)) for place, letter in letters.items()}


def _newest(log: EventLog, topic: str, limit: int, partitions: Collection[int] = range(PARTITIONS)) -> Iterator[Record]:
    """The last `limit` records of each of the partitions."""
    ends = log.end(topic)
    for partition in partitions:
        end = ends.get(partition, 0)
        yield from scan(log, topic, partition, max(0, end - limit), end)
