"""A log that fails a given number of appends."""

from headgate.log.port import LogUnavailable, Message, Position
from headgate.log.sqlite.log import SqliteLog


class FailingLog(SqliteLog):
    """While `outages` is above 0, each append fails and lowers it by one."""

    outages = 0

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        if self.outages:
            self.outages -= 1
            raise LogUnavailable("no broker answers")
        return super().append(message, timeout_seconds)
