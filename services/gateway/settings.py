"""The gateway's settings, read from environment variables."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.domain.names import NAME_RULE, is_name
from headgate.lifecycle.artifact_setting import require_store
from headgate.lifecycle.service_parts import ServiceSettings, replica_name
from headgate.runtime.settings import CHECK, HOST


def _require_environment(name: str) -> None:
    if not is_name(name):
        raise ValueError(NAME_RULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = replica_name("gateway-0")
    artifacts: str = field(metadata={CHECK: require_store})
    """URL of the artifact store."""
    keys: Path
    """Directory of the trusted keys."""
    environment: str = field(default="production", metadata={CHECK: _require_environment})
    advertise: str = field(default="127.0.0.1", metadata={HOST: True})
    """Host name or address of this gateway for other processes. The gateway's status contains it."""
