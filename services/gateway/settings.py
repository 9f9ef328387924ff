"""The gateway's settings, read from environment variables."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.lifecycle.service_parts import ServiceSettings
from headgate.runtime.settings import HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = "gateway-0"
    artifacts: str
    """URL of the artifact store."""
    keys: Path
    """Directory of the trusted keys."""
    environment: str = "production"
    advertise: str = field(default="127.0.0.1", metadata={HOST: True})
    """Host name or address of this gateway for other processes. The gateway's status contains it."""
