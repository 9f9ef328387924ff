"""What every command shares: addresses, the exit codes, and the way a failure is told."""

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from headgate.client.doors import Doors
from headgate.log.open import open_log
from headgate.log.port import EventLog

HOME = ".headgate"
DEFAULT_REGISTRY = "127.0.0.1:7400"
DEFAULT_GATEWAY = "127.0.0.1:7404"


class Exit(IntEnum):
    """What a script can tell a run apart by; `headgate --help` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4


progress = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where everything goes that is not data."""


class CommandFailed(Exception):
    """Ends the command with a sentence on stderr and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Session:
    """The addresses of this run."""

    doors: Doors
    log_url: str

    def open_log(self) -> EventLog:
        """The log itself. An embedded log that is not there is not made by looking at it."""
        scheme, _, rest = self.log_url.partition(":")
        if scheme == "sqlite" and not Path(rest.removeprefix("//")).exists():
            raise CommandFailed(
                f"there is no log at {without_passwords(self.log_url)}: is `headgate up` running here?",
                Exit.UNAVAILABLE,
            )
        return open_log(self.log_url)


def session(context: typer.Context) -> Session:
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("the command line has not been set up")
    return found


def new_session(registry: str, gateway: str, log: str) -> Session:
    """Addresses that were not given are those of the `headgate up` in this folder, else the defaults."""
    ports = running_ports(Path(HOME))
    if not registry:
        registry = f"127.0.0.1:{ports['registry']}" if "registry" in ports else DEFAULT_REGISTRY
    if not gateway:
        gateway = f"127.0.0.1:{ports['gateway']}" if "gateway" in ports else DEFAULT_GATEWAY
    return Session(Doors(registry, gateway), log or running_log(Path(HOME)) or default_log(Path(HOME)))


def default_log(home: Path) -> str:
    return f"sqlite://{home.absolute() / 'log.db'}"


def running_ports(home: Path) -> dict[str, int]:
    """The ports that `headgate up` wrote down in this folder; empty when it does not run."""
    return dict(_running(home).get("ports", {}))


def running_log(home: Path) -> str:
    return str(_running(home).get("log", ""))


def _running(home: Path) -> dict[str, dict[str, int]]:
    try:
        found = json.loads((home / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def without_passwords(url: str) -> str:
    """The log's address as it may be shown."""
    return re.sub(r"(password=)[^&]*", r"\1***", url)


def usage(message: str) -> NoReturn:
    raise CommandFailed(message, Exit.USAGE)


def full_name(kind: str, name: str) -> str:
    """`fraud` or `models/fraud` as a resource name."""
    return name if name.startswith(f"{kind}/") else f"{kind}/{name}"


def version_name(text: str) -> str:
    """`fraud/3`, `fraud/v3`, `fraud@alias` or the full resource name."""
    if text.startswith("models/"):
        return text
    model, at, alias = text.partition("@")
    if at:
        return f"models/{model}/aliases/{alias}"
    return f"models/{model_and_number(text)[0]}/versions/{model_and_number(text)[1]}"


def release_name(text: str) -> str:
    """`fraud/3` or the full resource name."""
    if text.startswith("models/"):
        return text
    model, number = model_and_number(text)
    return f"models/{model}/releases/{number}"


def model_and_number(text: str) -> tuple[str, int]:
    model, slash, number = text.partition("/")
    number = number.removeprefix("v")
    if not slash or not number.isdecimal():
        usage(f"{text!r}: expected MODEL/NUMBER, for example fraud/3")
    return model, int(number)
