"""Log lines as JSON objects on stderr: one for each unit of work, and what happens meanwhile with the unit's fields."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from headgate.log.open import without_passwords
from headgate.runtime.observability.line_writer import LineWriter
from headgate.runtime.observability.work_log import fields_under_way


class LogLevel(StrEnum):
    """From which level on lines are written; HEADGATE_LOG_LEVEL."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
SELDOM_SECONDS = 30.0
MAX_KINDS = 1_000
_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode
UNDER_WAY = "under_way"
NOT_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", UNDER_WAY}


class JsonFormatter(logging.Formatter):
    """One line per record; whatever is passed as `extra` becomes a field. Passwords in addresses are masked."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, UNDER_WAY, {}))
        line.update({name: value for name, value in record.__dict__.items() if name not in NOT_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return without_passwords(_encode(line))


def with_work_under_way(record: logging.LogRecord) -> bool:
    """A filter that keeps every record: with what is known of the unit of work that it was made in."""
    setattr(record, UNDER_WAY, fields_under_way())
    return True


class Seldom(logging.Filter):
    """Lets one line of each kind pass in SELDOM_SECONDS for a library that says the same at every attempt.

    The next one that passes carries as `suppressed` how many did not.
    """

    def __init__(self, library: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._library = library
        self._clock = clock
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != self._library:
            return True
        kind, now = (record.name, str(record.msg)), self._clock()
        passed_at, suppressed = self._passed.get(kind, (now - SELDOM_SECONDS, 0))
        if now - passed_at < SELDOM_SECONDS:
            self._passed[kind] = (passed_at, suppressed + 1)
            return False
        if len(self._passed) >= MAX_KINDS:
            self._passed.clear()
        self._passed[kind] = (now, 0)
        if suppressed:
            record.suppressed = suppressed
        return True


def log_to_stderr(service: str, level: int = logging.INFO) -> None:
    """Replaces the root logger's handlers. What no line says is not looked up for it: thread, process, source line."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # the documented way to spare the walk through the stack
    handler = LineWriter(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(Seldom("kafka"))
    handler.addFilter(with_work_under_way)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)  # else it tells of every busy moment
