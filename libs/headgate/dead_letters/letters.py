"""Reads headgate.dead-letters: which letters there are, and what became of each.

No letter is ever changed. A settlement is another record, so all readers of the topic agree on the result.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from google.protobuf.message import DecodeError

from headgate.log import topics
from headgate.log.port import EventLog, Record
from headgate.log.scan import scan
from headgate.v1 import commands_pb2 as commands

CLAIM_MS = 60_000
"""How long a claim on a letter keeps others from replaying or dropping it."""
NOT_A_LETTER = "not-a-letter"
MAX_REASON = 4_096

LetterId = tuple[int, int]
"""Partition and offset in headgate.dead-letters."""


class State(StrEnum):
    OPEN = "open"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DROPPED = "dropped"


SETTLED = frozenset({State.REPLAYED, State.DROPPED})


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a letter so far. Position and `at_ms` are those of the record that settled it."""

    state: State = State.OPEN
    actor: str = ""
    reason: str = ""
    at_ms: int = 0
    partition: int = -1
    offset: int = -1


OPEN = Settlement()


@dataclass(frozen=True, slots=True)
class Summary:
    """A letter without the bytes of its record, small enough to list many."""

    id: LetterId
    buried_at_ms: int
    topic: str
    partition: int
    offset: int
    service: str
    code: str
    reason: str
    size_bytes: int
    settlement: Settlement = OPEN


def settled(known: Settlement, change: commands.DeadLetterSettled, record: Record) -> Settlement:
    """The letter's settlement after one more record about it. Pure, so every reader gets the same result.

    The first replay or drop is final. A claim holds for CLAIM_MS; after that, the next claim replaces it.
    """
    if known.state in SETTLED:
        return known
    held = known.state is State.REPLAYING and record.timestamp_ms - known.at_ms < CLAIM_MS
    match change.outcome:
        case commands.DEAD_LETTER_OUTCOME_REPLAYING if not held:
            state = State.REPLAYING
        case commands.DEAD_LETTER_OUTCOME_REPLAYED if known.state is State.REPLAYING:
            state = State.REPLAYED
        case commands.DEAD_LETTER_OUTCOME_DROPPED if not held:
            state = State.DROPPED
        case _:
            return known
    return Settlement(state, change.actor, change.reason, record.timestamp_ms, record.partition, record.offset)


def is_letter(content: commands.DeadLetter) -> bool:
    return content.code != "" and not content.HasField("settled")


def parse_letter(record: Record) -> commands.DeadLetter:
    """The letter or settlement in a record. For any other bytes it makes a letter about the record itself.

    Its time is that of the record: the clock of the service that wrote it may be wrong.
    """
    try:
        content = commands.DeadLetter.FromString(record.value or b"")
    except DecodeError:
        content = commands.DeadLetter()
    if is_letter(content) or content.HasField("settled"):
        content.buried_at_ms = record.timestamp_ms
        return content
    return letter_of(record, NOT_A_LETTER, "the value is not a headgate.v1.DeadLetter", "", record.timestamp_ms)


def letter_of(record: Record, code: str, reason: str, service: str, buried_at_ms: int) -> commands.DeadLetter:
    """A letter about a record, with all bytes of the record."""
    return commands.DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value or b"",
        null_value=record.value is None,
        headers=headers_of(record),
        code=code,
        reason=reason[:MAX_REASON],
        service=service,
        buried_at_ms=buried_at_ms,
    )


def headers_of(record: Record) -> list[commands.Header]:
    """A record's headers as a letter keeps them. A name that is not UTF-8 has its raw bytes beside a readable form."""
    headers = []
    for name, value in record.headers:
        raw = name.encode()
        shown = raw.decode(errors="replace")
        headers.append(commands.Header(name=shown, value=value, raw_name=b"" if shown.encode() == raw else raw))
    return headers


class Ledger:
    """The letters and what became of each. Every call reads on from where the last call ended."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._read: dict[int, int] = {}
        self._letters: dict[tuple[str, int, int], Summary] = {}
        self._settlements: dict[LetterId, Settlement] = {}

    def summaries(self) -> list[Summary]:
        """Every letter with what became of it, partition by partition. Raises LogError.

        Two services that find a bad record at the same moment may both write a letter. The first one counts.
        """
        self._catch_up()
        letters = self._letters.values()
        return [replace(summary, settlement=self._settlements.get(summary.id, OPEN)) for summary in letters]

    def settlement(self, letter: LetterId) -> Settlement:
        """What became of one letter. Raises LogError."""
        self._catch_up()
        return self._settlements.get(letter, OPEN)

    def _catch_up(self) -> None:
        for partition, end in self.log.end(topics.DEAD_LETTERS).items():
            for record in scan(self.log, topics.DEAD_LETTERS, partition, self._read.get(partition, 0), end):
                self._add(record)
            self._read[partition] = end

    def _add(self, record: Record) -> None:
        content = parse_letter(record)
        if content.HasField("settled"):
            about = (content.settled.partition, content.settled.offset)
            self._settlements[about] = settled(self._settlements.get(about, OPEN), content.settled, record)
        else:
            self._letters.setdefault(_origin(record, content), summary_of(record, content))


def find(log: EventLog, letter: LetterId) -> tuple[Record, commands.DeadLetter] | None:
    """The letter with this id; None when there is none or it has expired. Raises LogError."""
    partition, offset = letter
    if partition not in log.end(topics.DEAD_LETTERS) or offset < 0:
        return None
    for record in log.read(topics.DEAD_LETTERS, partition, offset, 1):
        content = parse_letter(record)
        if record.offset == offset and not content.HasField("settled"):
            return record, content
    return None


def _origin(record: Record, content: commands.DeadLetter) -> tuple[str, int, int]:
    """The position of the record that a letter is about; the letter's own position when there is no such record."""
    if content.topic:
        return content.topic, content.partition, content.offset
    return record.topic, record.partition, record.offset


def summary_of(record: Record, content: commands.DeadLetter) -> Summary:
    return Summary(
        id=(record.partition, record.offset),
        buried_at_ms=content.buried_at_ms,
        topic=content.topic,
        partition=content.partition,
        offset=content.offset,
        service=content.service,
        code=content.code,
        reason=content.reason,
        size_bytes=len(content.value),
    )
