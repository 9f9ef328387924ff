"""What could not be handled is recorded with its bytes and the reason; nothing is dropped."""

import logging

from headgate.log import topics
from headgate.log.port import EventLog, LogError, Message, Record, RecordTooLarge
from headgate.runtime.clock import now_ms
from headgate.v1 import commands_pb2 as k

MAX_REASON = 4_096
MAX_KEPT = 200_000

logger = logging.getLogger(__name__)


def bury(log: EventLog, record: Record, code: str, reason: str, service: str) -> None:
    """Copies a record that cannot be handled to headgate.dead-letters. Raises LogError when that fails too."""
    letter = k.DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value or b"",
        headers=[k.Header(name=name, value=value) for name, value in record.headers],
        code=code,
        reason=reason[:MAX_REASON],
        service=service,
        buried_at_ms=now_ms(),
    )
    logger.error("record buried", extra={"topic": record.topic, "offset": record.offset, "code": code, "why": reason})
    try:
        log.append(Message(topics.DEAD_LETTERS, record.key or b"", letter.SerializeToString()))
    except RecordTooLarge:
        # A record of the largest size has no room for its letter: the position says where the rest stands.
        letter.reason = f"{letter.reason} (only the first {MAX_KEPT} bytes of each part are kept here)"
        letter.key, letter.value = letter.key[:MAX_KEPT], letter.value[:MAX_KEPT]
        del letter.headers[:]
        log.append(Message(topics.DEAD_LETTERS, letter.key, letter.SerializeToString()))


def bury_command(log: EventLog, work: str, reason: str, service: str) -> None:
    """Records work that failed too often; the lifecycle still shows it as due."""
    letter = k.DeadLetter(
        key=work.encode(), code="work-failed", reason=reason[:MAX_REASON], service=service, buried_at_ms=now_ms()
    )
    try:
        log.append(Message(topics.DEAD_LETTERS, work.encode(), letter.SerializeToString()))
    except LogError:
        logger.exception("dead letter not written", extra={"work": work})
