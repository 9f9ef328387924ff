"""What the deployer takes from the environment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    log: str
    port: int = 0
    host: str = "127.0.0.1"
    name: str = "deployer-0"
