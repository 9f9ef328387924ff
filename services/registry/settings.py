"""What the registry reads from its environment."""

from dataclasses import dataclass

from headgate.log.startup import LOG_WAIT_SECONDS
from headgate.runtime.service import GRACE_SECONDS


@dataclass(frozen=True)
class Settings:
    """`log` is the event log's URL; `port` 0 takes any.

    `redis` names the server that keeps the view; empty for none. A caller may make `rate_per_second` calls per door, in
    bursts of `rate_burst` (0: one second's worth); a rate of 0 sets no limit.
    """

    log: str
    port: int = 7400
    host: str = "127.0.0.1"
    metrics_port: int = 0
    """Of the HTTP door with /metrics, /livez and /readyz; 0 for none."""
    grace_seconds: float = GRACE_SECONDS
    name: str = "registry-0"
    redis: str = ""
    rate_per_second: float = 0.0
    rate_burst: int = 0
    log_wait_seconds: float = LOG_WAIT_SECONDS
    one_core: bool = False
    """Pins the process to one CPU core, chosen by `name`: its threads then waste no time on the interpreter lock."""
