"""What the registry reads from its environment."""

from dataclasses import dataclass

from headgate.log.at_start import LOG_WAIT_SECONDS


@dataclass(frozen=True)
class Settings:
    """`log` is the event log's URL; `port` 0 takes any."""

    log: str
    port: int = 7400
    host: str = "127.0.0.1"
    name: str = "registry-0"
    log_wait_seconds: float = LOG_WAIT_SECONDS
