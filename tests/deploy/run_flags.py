"""A service of docker-compose.yml as the flags of `docker run`, for an engine that has no Compose."""

from collections.abc import Iterator, Mapping
from typing import Any

Service = Mapping[str, Any]

LEFT_OUT = frozenset(
    {"image", "build", "entrypoint", "environment", "volumes", "depends_on", "networks", "ports", "restart"}
)
"""What the run names itself, and what it does without: it has one container and no network."""
HEALTH_LEFT_OUT = frozenset({"test", "start_interval"})
"""The test is a word of its own; the interval at the start needs Docker Engine 25."""

PLAIN = {"mem_limit": "--memory", "pids_limit": "--pids-limit", "user": "--user"}
REPEATED = {"cap_drop": "--cap-drop", "security_opt": "--security-opt", "tmpfs": "--tmpfs"}
SWITCHES = {"read_only": "--read-only", "init": "--init"}


class Untranslated(Exception):
    """The service says something that no flag stands for here; the message names it."""


def run_flags(service: Service) -> list[str]:
    """Raises Untranslated for what is neither translated nor known to be left out."""
    return [flag for key, value in service.items() if key not in LEFT_OUT for flag in _flags(key, value)]


def _flags(key: str, value: Any) -> Iterator[str]:
    if key in PLAIN:
        yield f"{PLAIN[key]}={value}"
    elif key in REPEATED:
        yield from (f"{REPEATED[key]}={each}" for each in value)
    elif key in SWITCHES:
        yield f"{SWITCHES[key]}={str(value).lower()}"
    elif key == "stop_grace_period":
        yield f"--stop-timeout={value.removesuffix('s')}"
    elif key == "logging":
        yield f"--log-driver={value['driver']}"
        yield from (f"--log-opt={name}={option}" for name, option in value["options"].items())
    elif key == "healthcheck":
        yield from _health(value)
    else:
        raise Untranslated(f"no flag of docker run is known for {key}")


def _health(check: Mapping[str, Any]) -> Iterator[str]:
    kind, *command = check["test"]
    if kind != "CMD":
        raise Untranslated(f"a health check by {kind}")
    yield f"--health-cmd={' '.join(command)}"
    for name, value in check.items():
        if name not in HEALTH_LEFT_OUT:
            yield f"--health-{name.replace('_', '-')}={value}"
