"""What the registry reads from its environment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """`log` is the event log's URL; `port` 0 takes any."""

    log: str
    port: int = 7400
    host: str = "127.0.0.1"
    name: str = "registry-0"
