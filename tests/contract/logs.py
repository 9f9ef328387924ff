"""Opens the log of a test, with a session short enough for tests. The child processes use it too."""

from headgate.log.port import EventLog
from headgate.log.sqlite.log import SqliteLog

SESSION_SECONDS = 3.0


def open_for_test(url: str) -> EventLog:
    scheme, _, address = url.partition("://")
    if scheme == "sqlite":
        return SqliteLog(address, session_seconds=SESSION_SECONDS)
    from headgate.log.kafka.log import KafkaLog

    return KafkaLog([address], {}, session_seconds=SESSION_SECONDS)
