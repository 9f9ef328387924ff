"""The deployer's settings, read from environment variables."""

from dataclasses import dataclass

from headgate.lifecycle.service_parts import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = "deployer-0"
