"""The registry's settings, read from environment variables."""

from dataclasses import dataclass

from headgate.lifecycle.service_parts import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = "registry-0"
    port: int = 7400
    redis: str = ""
    """URL of the Redis server that keeps the view. Empty for none."""
    rate_per_second: float = 0.0
    """Calls per second that one caller may make to one gRPC service in the long run. 0 sets no limit."""
    rate_burst: int | None = None
    """Calls that one caller may make at once. None stands for as many as in one second."""
    one_core: bool = False
    """Pins the process to one CPU core, chosen by `name`. Then its threads waste no time on the interpreter lock."""
