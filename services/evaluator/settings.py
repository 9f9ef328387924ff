"""What the evaluator reads from its environment."""

from dataclasses import dataclass
from pathlib import Path

from headgate.lifecycle.artifact_setting import ArtifactSettings
from headgate.lifecycle.service_parts import replica_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ArtifactSettings):
    name: str = replica_name("evaluator-0")
    keys: Path
    """Directory of the trusted keys."""
