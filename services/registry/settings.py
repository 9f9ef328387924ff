"""What the registry takes from the environment."""

from dataclasses import dataclass

from headgate.lifecycle.service_parts import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    name: str = "registry-0"
    port: int = 7400
    redis: str = ""
    """URL of the server that keeps the view; empty for none."""
    rate_per_second: float = 0.0
    """Calls that one caller may make to one gRPC service in the long run; 0 sets no limit."""
    rate_burst: int = 0
    """Calls that it may make at once; 0 stands for those of one second."""
    one_core: bool = False
    """Pins the process to one CPU core, chosen by `name`: its threads then waste no time on the interpreter lock."""
