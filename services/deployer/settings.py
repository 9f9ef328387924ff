"""The deployer's settings, read from environment variables."""

from dataclasses import dataclass

from headgate.lifecycle.service_parts import ServiceSettings, replica_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = replica_name("deployer-0")
