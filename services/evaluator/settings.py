"""What the evaluator takes from the environment."""

from dataclasses import dataclass
from pathlib import Path

from headgate.log.startup import LOG_WAIT_SECONDS
from headgate.runtime.service import GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Settings:
    log: str
    artifacts: str
    keys: Path
    port: int = 0
    host: str = "127.0.0.1"
    metrics_port: int = 0
    """Of the HTTP door with /metrics, /livez and /readyz; 0 for none."""
    grace_seconds: float = GRACE_SECONDS
    name: str = "evaluator-0"
    log_wait_seconds: float = LOG_WAIT_SECONDS
