"""The deployer's settings, read from environment variables."""

from dataclasses import dataclass

from headgate.lifecycle.authentication_setting import AuthenticatedSettings
from headgate.lifecycle.service_parts import replica_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AuthenticatedSettings):
    name: str = replica_name("deployer-0")
