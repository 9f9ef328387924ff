"""What the evaluator reads from its environment."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.lifecycle.artifact_setting import require_store
from headgate.lifecycle.authentication_setting import AuthenticatedSettings
from headgate.lifecycle.service_parts import replica_name
from headgate.runtime.settings import CHECK


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AuthenticatedSettings):
    name: str = replica_name("evaluator-0")
    artifacts: str = field(metadata={CHECK: require_store})
    """URL of the artifact store."""
    keys: Path
    """Directory of the trusted keys."""
