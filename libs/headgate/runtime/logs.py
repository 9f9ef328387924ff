"""Log lines as JSON objects on stderr: one for each unit of work, and what happens meanwhile with the unit's fields."""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

from headgate.log.open import without_passwords
from headgate.runtime.work_log import fields_under_way


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
STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


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
        line.update(fields_under_way())
        line.update({name: value for name, value in record.__dict__.items() if name not in STANDARD_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return without_passwords(json.dumps(line, default=str, ensure_ascii=False))


def log_to_stderr(service: str, level: int = logging.INFO) -> None:
    """Replaces the root logger's handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
