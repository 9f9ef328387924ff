"""What the evaluator reads from its environment."""

from dataclasses import dataclass
from pathlib import Path

from headgate.lifecycle.service_parts import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = "evaluator-0"
    artifacts: str
    """URL of the artifact store."""
    keys: Path
    """Directory of the trusted keys."""
