"""The registry's settings, read from environment variables."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.lifecycle.artifact_setting import ArtifactSettings, require_store
from headgate.lifecycle.service_parts import replica_name
from headgate.runtime.redis_address import require_address
from headgate.runtime.settings import CHECK


def _require_rate(rate: float) -> None:
    if rate < 0:
        raise ValueError("expected 0 or more")


def _require_burst(calls: int) -> None:
    if calls < 1:
        raise ValueError("expected 1 or more, or no such setting for as many calls as in one second")


def _require_store_if_any(url: str) -> None:
    if url:
        require_store(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ArtifactSettings):
    name: str = replica_name("registry-0")
    port: int = 7400
    artifacts: str = field(default="", metadata={CHECK: _require_store_if_any})
    """URL of the artifact store, from which artifacts are read back to be signed."""
    keys: Path | None = None
    """Directory with the folders `registry` and `trusted`. Without it nothing is signed, and trained versions wait."""
    redis: str = field(default="", metadata={CHECK: require_address})
    """URL of the Redis server that keeps the view. Empty for none."""
    rate_per_second: float = field(default=0.0, metadata={CHECK: _require_rate})
    """Calls per second that one caller may make to one gRPC service in the long run. 0 sets no limit."""
    rate_burst: int | None = field(default=None, metadata={CHECK: _require_burst})
    """Calls that one caller may make at once. None stands for as many as in one second."""
    one_core: bool = False
    """Pins the process to one CPU core, chosen by `name`. Then its threads waste no time on the interpreter lock."""
