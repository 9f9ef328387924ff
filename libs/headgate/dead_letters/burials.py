"""Writes dead letters: each holds a record that could not be handled, with its bytes and the reason."""

import logging
import threading
from collections.abc import Callable, Iterable

from headgate.dead_letters.letters import MAX_REASON, letter_of, parse_letter
from headgate.domain.credentials import as_it_may_be_kept
from headgate.log import topics
from headgate.log.port import EventLog, LogError, Message, Record, RecordTooLarge
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands

WORK_FAILED = "work-failed"
"""Code of a letter about failed work. Such a letter has no topic."""
MAX_KEPT = 200_000
"""Bytes of the key, and of the value, that a truncated letter keeps."""
MAX_REMEMBERED = 100_000
"""How many buried positions a process remembers. After so many later letters, a record may be buried again."""

logger = logging.getLogger(__name__)


class Burials:
    """Copies records that cannot be handled to headgate.dead-letters. Each position is buried once.

    Before each burial it reads the letters that other processes have written. So a record is not buried again after a
    crash between burial and commit, or when a topic is read again from its start.
    """

    def __init__(
        self, log: EventLog, service: str, count: Callable[[str, str], None] = lambda topic, code: None
    ) -> None:
        """`count` is called with the topic and the code of each letter."""
        self._log = log
        self._service = service
        self._count = count
        self._lock = threading.Lock()
        self._read: dict[int, int] = {}
        self._buried: dict[tuple[str, int, int], None] = {}

    def bury(self, record: Record, code: str, reason: str) -> bool:
        """Writes a letter unless the record has one already, and returns whether it did. Raises LogError."""
        with self._lock:
            self._catch_up()
            if (record.topic, record.partition, record.offset) in self._buried:
                return False
            logger.error(
                "record buried",
                extra={"topic": record.topic, "partition": record.partition, "offset": record.offset, "code": code}
                | {"why": reason[:MAX_REASON]},
            )
            _append(self._log, record, letter_of(record, code, as_it_may_be_kept(reason), self._service, now_ms()))
            self._remember(record.topic, record.partition, record.offset)
            self._count(record.topic, code)
            return True

    def unburied(self, topic: str, places: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """The partitions and offsets, out of these, that have no letter yet. Raises LogError."""
        with self._lock:
            self._catch_up()
            return {place for place in places if (topic, *place) not in self._buried}

    def _catch_up(self) -> None:
        for partition, end in self._log.end(topics.DEAD_LETTERS).items():
            if self._read.get(partition, 0) > end:  # the topic was cut off or made again: read what it holds now
                self._read[partition] = 0
            while (offset := self._read.get(partition, 0)) < end:
                records = self._log.read(topics.DEAD_LETTERS, partition, offset)
                for record in records:
                    letter = parse_letter(record)
                    self._remember(letter.topic, letter.partition, letter.offset)
                self._read[partition] = records[-1].offset + 1 if records else end

    def _remember(self, topic: str, partition: int, offset: int) -> None:
        self._buried[topic, partition, offset] = None
        if len(self._buried) > MAX_REMEMBERED:
            del self._buried[next(iter(self._buried))]


def counting(metrics: Metrics) -> Callable[[str, str], None]:
    """A function that counts letters by topic and code."""
    letters = metrics.counter("headgate_dead_letters_total")
    return lambda topic, code: letters.labels(topic, code).inc()


def bury_command(log: EventLog, work: str, reason: str, service: str) -> None:
    """Writes a letter about work that failed too often. The lifecycle still shows this work as due."""
    letter = commands.DeadLetter(
        key=work.encode(),
        code=WORK_FAILED,
        reason=as_it_may_be_kept(reason)[:MAX_REASON],
        service=service,
        buried_at_ms=now_ms(),
    )
    try:
        log.append(Message(topics.DEAD_LETTERS, work.encode(), letter.SerializeToString()))
    except LogError:
        logger.exception("dead letter not written", extra={"work": work})


def _append(log: EventLog, record: Record, letter: commands.DeadLetter) -> None:
    try:
        log.append(Message(topics.DEAD_LETTERS, record.key, letter.SerializeToString()))
    except RecordTooLarge:
        # The letter would be too large. It keeps the beginning of the record; its position tells where the rest is.
        letter.reason = f"{letter.reason} (this letter keeps only the first {MAX_KEPT} bytes of key and value)"
        letter.key, letter.value = letter.key[:MAX_KEPT], letter.value[:MAX_KEPT]
        letter.truncated = True
        del letter.headers[:]
        log.append(Message(topics.DEAD_LETTERS, letter.key, letter.SerializeToString()))
