"""What the trainer reads from its environment."""

import tempfile
from dataclasses import dataclass, field
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
    name: str = "trainer-0"
    work: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "headgate-trainer")
    tests_seconds: float = 600.0
    training_seconds: float = 3600.0
    # A training that tells of no new epoch for this long hangs.
    epoch_seconds: float = 600.0
    # Between two checkpoints of a training; what is lost with a trainer is trained again.
    checkpoint_seconds: float = 30.0
    log_wait_seconds: float = LOG_WAIT_SECONDS
