"""Checks environment variables with the settings of a service."""

import importlib
from collections.abc import Mapping

from headgate.runtime.settings import SettingsError, from_env

SERVICES = ("registry", "trainer", "evaluator", "deployer", "gateway", "portal")
PREFIX = "HEADGATE_"
METRICS_PORT = "9464"
REST_PORT, EDGE_PORT, CONSOLE_PORT = "7405", "7406", "7408"
ELSEWHERE = "from elsewhere"
"""The value of a variable that comes from a secret or from the pod, so that it is not known here."""


def port_of(service: str) -> str:
    """The gRPC port of a service in a container."""
    return "7407" if service == "portal" else str(7400 + SERVICES.index(service))


def problems(service: str, environ: Mapping[str, str]) -> list[str]:
    """The reasons why the service would not start, or would ignore a variable."""
    module = importlib.import_module(f"services.{service}.settings")
    known = {PREFIX + name.upper() for name in module.Settings.__dataclass_fields__}
    given = {name for name in environ if name.startswith(PREFIX)}
    found = [f"{service}: {name} is not a setting" for name in sorted(given - known)]
    try:
        from_env(module.Settings, environ)
    except SettingsError as error:
        wrong = [each for each in error.problems if _is_known(environ.get(each.partition("=")[0], ""))]
        found += [f"{service}: {problem}" for problem in wrong]
    return found + [f"{service}: {line}" for line in _unreachable(service, environ)]


def _is_known(value: str) -> bool:
    return value != ELSEWHERE and "${" not in str(value)


def _unreachable(service: str, environ: Mapping[str, str]) -> list[str]:
    wanted = {"PORT": port_of(service), "HOST": "0.0.0.0", "METRICS_PORT": METRICS_PORT}
    if service == "gateway":
        wanted["REST_PORT"] = REST_PORT
    if service == "portal":
        wanted["CONSOLE_PORT"] = CONSOLE_PORT
    return [
        f"{PREFIX}{name} is {environ.get(PREFIX + name)}, not {value}: clients outside the container cannot reach it"
        for name, value in wanted.items()
        if environ.get(PREFIX + name) != value
    ]
