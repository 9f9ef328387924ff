"""Log lines as JSON objects on stderr. Each unit of work has one line, and lines logged during it carry its fields."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from headgate.domain.credentials import without_credentials
from headgate.domain.printable import printable_json
from headgate.runtime.observability.line_writer import LineWriter
from headgate.runtime.observability.work_log import current_fields


class LogLevel(StrEnum):
    """The lowest level of the lines that are written; HEADGATE_LOG_LEVEL."""

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
REPEAT_SECONDS = 30.0
"""How long a repeated line of a library is held back."""
MAX_KINDS = 1_000
_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode
UNIT_FIELDS = "unit_fields"
NOT_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", UNIT_FIELDS}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line. What was passed as `extra` becomes a field. Passwords in addresses are masked."""

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
        line.update(getattr(record, UNIT_FIELDS, {}))
        line.update({name: value for name, value in record.__dict__.items() if name not in NOT_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable_json(without_credentials(_encode(line)))


def add_unit_fields(record: logging.LogRecord) -> bool:
    """A filter that keeps every record and adds the fields of the current unit of work to it."""
    setattr(record, UNIT_FIELDS, current_fields())
    return True


class RepeatFilter(logging.Filter):
    """Passes at most one line of each kind in REPEAT_SECONDS, for a library that logs the same at every attempt.

    The next line that passes has the number of those held back, in the field `suppressed`.
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
        passed_at, suppressed = self._passed.get(kind, (now - REPEAT_SECONDS, 0))
        if now - passed_at < REPEAT_SECONDS:
            self._passed[kind] = (passed_at, suppressed + 1)
            return False
        if len(self._passed) >= MAX_KINDS:
            self._passed.clear()
        self._passed[kind] = (now, 0)
        if suppressed:
            record.suppressed = suppressed
        return True


def log_to_stderr(service: str, level: int = logging.INFO) -> None:
    """Replaces the root logger's handlers. Threads, processes and source lines are not shown, so not looked up."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # the documented way to avoid a walk through the stack
    handler = LineWriter(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(RepeatFilter("kafka"))
    handler.addFilter(add_unit_fields)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)  # it warns whenever the process is busy
