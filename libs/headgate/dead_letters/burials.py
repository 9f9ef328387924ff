"""What could not be handled is recorded with its bytes and the reason; nothing is dropped."""

import logging
import threading
from collections.abc import Callable, Iterable

from headgate.dead_letters.letters import MAX_REASON, letter_of, parse_letter
from headgate.log import topics
from headgate.log.port import EventLog, LogError, Message, Record, RecordTooLarge
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands

WORK_FAILED = "work-failed"
"""Code of the letter about work, which has no topic."""
MAX_KEPT = 200_000
MAX_REMEMBERED = 100_000
"""Buried positions known to one process; one that is older than so many later letters may be buried once more."""

logger = logging.getLogger(__name__)


class Burials:
    """Copies records that cannot be handled to headgate.dead-letters, each position once, whoever restarts.

    Before a burial it reads the letters written since the last one, so the same record found again is not buried
    again: after a crash between burial and commit, and at each replay of a topic that is read without a group.
    """

    def __init__(
        self, log: EventLog, service: str, count: Callable[[str, str], None] = lambda topic, code: None
    ) -> None:
        """`count` is told the topic and the code of each letter."""
        self._log = log
        self._service = service
        self._count = count
        self._lock = threading.Lock()
        self._read: dict[int, int] = {}
        self._buried: dict[tuple[str, int, int], None] = {}

    def bury(self, record: Record, code: str, reason: str) -> bool:
        """Whether a letter was written: not when one stands there already. Raises LogError."""
        with self._lock:
            self._catch_up()
            if (record.topic, record.partition, record.offset) in self._buried:
                return False
            logger.error(
                "record buried",
                extra={"topic": record.topic, "partition": record.partition, "offset": record.offset, "code": code}
                | {"why": reason[:MAX_REASON]},
            )
            _append(self._log, record, letter_of(record, code, reason, self._service, now_ms()))
            self._remember(record.topic, record.partition, record.offset)
            self._count(record.topic, code)
            return True

    def unburied(self, topic: str, places: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of a topic's partitions and offsets about which there is no letter yet. Raises LogError."""
        with self._lock:
            self._catch_up()
            return {place for place in places if (topic, *place) not in self._buried}

    def _catch_up(self) -> None:
        for partition, end in self._log.end(topics.DEAD_LETTERS).items():
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
    """Counts letters by their topic and code."""
    letters = metrics.counter("headgate_dead_letters_total")
    return lambda topic, code: letters.labels(topic, code).inc()


def bury_command(log: EventLog, work: str, reason: str, service: str) -> None:
    """Records work that failed too often; the lifecycle still shows it as due."""
    letter = commands.DeadLetter(
        key=work.encode(), code=WORK_FAILED, reason=reason[:MAX_REASON], service=service, buried_at_ms=now_ms()
    )
    try:
        log.append(Message(topics.DEAD_LETTERS, work.encode(), letter.SerializeToString()))
    except LogError:
        logger.exception("dead letter not written", extra={"work": work})


def _append(log: EventLog, record: Record, letter: commands.DeadLetter) -> None:
    try:
        log.append(Message(topics.DEAD_LETTERS, record.key, letter.SerializeToString()))
    except RecordTooLarge:
        # A record of the largest size has no room for its letter: the position says where the rest stands.
        letter.reason = f"{letter.reason} (only the first {MAX_KEPT} bytes of each part are kept here)"
        letter.key, letter.value = letter.key[:MAX_KEPT], letter.value[:MAX_KEPT]
        letter.truncated = True
        del letter.headers[:]
        log.append(Message(topics.DEAD_LETTERS, letter.key, letter.SerializeToString()))
