"""A log that can be away for a number of appends."""

from headgate.log.port import LogUnavailable, Message, Position
from headgate.log.sqlite.log import SqliteLog


class FailingLog(SqliteLog):
    """Each append fails while `outages` is above 0, and takes one off it."""

    outages = 0

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        if self.outages:
            self.outages -= 1
            raise LogUnavailable("nobody answers")
        return super().append(message, timeout_seconds)
