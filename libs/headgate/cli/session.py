"""What all commands share: addresses, names, and how a failure ends a command."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from headgate.cli.exit_codes import Exit
from headgate.cli.printing import report
from headgate.client.actor import logged_in
from headgate.client.bearer import TokenUnusable, read_token
from headgate.client.change_fields import ChangeFields
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.client.tls import ClientTls
from headgate.domain import names
from headgate.domain.address import ADDRESS_RULE, MAX_PORT, PORT_RULE, has_real_port, is_address, is_loopback
from headgate.domain.credentials import without_credentials
from headgate.log.open import check_address, embedded_address, embedded_path, is_embedded
from headgate.log.port import EventLog
from headgate.log.startup import await_log
from headgate.v1 import registry_service_pb2 as registry_service

HOME = ".headgate"
TOKEN = "token"
"""The file in that folder with the token of its owner."""
KEYS = "keys"
"""The folder in it with all that is secret, which the trainer hides from the code of commits."""
ENCRYPTION_KEY = "encryption/key"
"""The file in that folder with the key that encrypts the artifacts. A folder of its own can be mounted alone."""
HOST = "127.0.0.1"
DEFAULT_PORTS: Mapping[str, int] = {
    "registry": 7400,
    "trainer": 7401,
    "evaluator": 7402,
    "deployer": 7403,
    "gateway": 7404,
}
"""Where `headgate up` serves unless it is given another base port."""
CLI_WAIT_SECONDS = 20.0
"""How long a command waits for a log that does not answer."""

Actor = Annotated[
    str, typer.Option(envvar="HEADGATE_ACTOR", help="Your name for the log; by default the logged-in user.")
]


class CommandFailed(Exception):
    """Ends the command: the message goes to stderr, the code becomes the exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Session:
    """The addresses and the actor of this run."""

    stubs: Stubs
    log_url: str
    log_wait_seconds: float = CLI_WAIT_SECONDS
    actor: str = ""

    def open_log(self) -> EventLog:
        """Opens the log and waits for it. Never creates an embedded log. Raises CommandFailed and LogError."""
        self.check_log()
        return await_log(self.log_url, self.log_wait_seconds, report, prepare=lambda log: None)

    def check_log(self) -> None:
        """Raises CommandFailed when the embedded log does not exist."""
        if is_embedded(self.log_url) and not embedded_path(self.log_url).exists():
            raise CommandFailed(
                f"there is no log at {without_credentials(self.log_url)}: is `headgate up` running in this folder?",
                Exit.UNAVAILABLE,
            )


def session(context: typer.Context) -> Session:
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("the command line has not been set up")
    return found


def token_of_login() -> str:
    """The token of `headgate login`; empty when nobody is logged in. Raises CommandFailed."""
    # Imported here, because the other commands need no client of HTTP.
    from headgate.client.identity_provider import LoginFailed
    from headgate.client.login import login_file, present_token

    try:
        return present_token(login_file())
    except LoginFailed as error:
        raise CommandFailed(str(error)) from error


def new_session(
    addresses: Mapping[str, str],
    log: str,
    log_wait_seconds: float = CLI_WAIT_SECONDS,
    actor: str = "",
    fields: ChangeFields | None = None,
    tls: ClientTls | None = None,
    token: str = "",
    login: Callable[[], str] = token_of_login,
) -> Session:
    """A session with the given actor and addresses, by the name of the service. With `tls` it calls them with TLS.

    A missing address is taken from the `headgate up` in this folder; without one it is the default. The services of
    this `headgate up` are called with its authority and its token without being told. Others get the token of `login`,
    with TLS alone. A missing actor is the logged-in user. A token goes to other machines with TLS alone. Raises
    CommandFailed for an address that is not host:port, and AddressInvalid for that of a log.
    """
    for name, address in addresses.items():
        if address and not is_address(address):
            usage(f"--{name} {without_credentials(address)!r}: {ADDRESS_RULE}")
    if log:
        check_address(log)
    actor = actor or logged_in()
    ports = {**DEFAULT_PORTS, **running_ports(Path(HOME))}
    own = {name: f"{HOST}:{ports[name]}" for name in DEFAULT_PORTS}
    known = {name: addresses.get(name) or own[name] for name in DEFAULT_PORTS}
    if known == own:
        tls = tls or running_tls(Path(HOME))
        # Without TLS another program could listen there, as on ports that `headgate up` does not hold just now.
        token = token or (kept_token(Path(HOME)) if tls else "")
    elif tls and not token:
        token = login()
    if token and tls is None:
        for name, address in known.items():
            refuse_readable(f"--{name}", address)
    log_url = log or running_log(Path(HOME)) or default_log(Path(HOME))
    return Session(Stubs(**known, actor=actor, fields=fields, tls=tls, token=token), log_url, log_wait_seconds, actor)


def refuse_readable(option: str, address: str) -> None:
    """Raises CommandFailed when a token that goes there without TLS would cross a network where others can read it."""
    if not is_loopback(address.rpartition(":")[0]):
        usage(f"{option} {address!r}: a token goes to another machine only with TLS; give --tls-ca")


def token_of(file: str) -> str:
    """The token in the named file; empty when none is named. Raises CommandFailed."""
    try:
        return read_token(Path(file)) if file else ""
    except TokenUnusable as error:
        usage(f"--token-file: {error}")


def kept_token(home: Path) -> str:
    """The token that `headgate up` has made in this folder; empty when it has made none. Raises CommandFailed."""
    kept = home / TOKEN
    return token_of(str(kept)) if kept.exists() else ""


def default_log(home: Path) -> str:
    return embedded_address(home / "log.db")


def running_ports(home: Path) -> dict[str, int]:
    """The services' gRPC ports, as `headgate up` recorded them in this folder; empty when it does not run."""
    return _ports(_running(home).get("ports"))


def running_metrics_ports(home: Path) -> dict[str, int]:
    """The services' HTTP ports for /metrics, recorded the same way."""
    return _ports(_running(home).get("metrics_ports"))


def running_tls(home: Path) -> ClientTls | None:
    """How the services of `headgate up` in this folder are called; None when none runs, or without TLS."""
    found = _running(home).get("tls")
    ca = found.get("ca") if isinstance(found, dict) else None
    return ClientTls(Path(ca)) if isinstance(ca, str) else None


def running_edge_port(home: Path) -> int:
    """The port for devices of the gateway that `headgate up` runs; 0 when none runs."""
    return _ports({"gateway": _running(home).get("edge_port")}).get("gateway", 0)


def running_rest_port(home: Path) -> int:
    """The gateway's REST port, recorded the same way; 0 when `headgate up` does not run."""
    return _ports({"gateway": _running(home).get("rest_port")}).get("gateway", 0)


def running_console_port(home: Path) -> int:
    """The port of the web console, recorded the same way; 0 when `headgate up` does not run."""
    return _ports({"portal": _running(home).get("console_port")}).get("portal", 0)


def rest_address(stubs: Stubs) -> str:
    """Where the REST server of this gateway is, if it is the one of `headgate up` in this folder; else empty."""
    home = Path(HOME)
    port = running_rest_port(home)
    is_running = stubs.gateway_address == f"{HOST}:{running_ports(home).get('gateway')}"
    scheme = "https" if stubs.tls else "http"
    return f"{scheme}://{HOST}:{port}" if port and is_running else ""


def running_log(home: Path) -> str:
    log = _running(home).get("log")
    return log if isinstance(log, str) else ""


def _ports(value: object) -> dict[str, int]:
    """The ports by service. Anything else in the file counts as none: another program may have written it."""
    if not isinstance(value, dict):
        return {}
    return {name: port for name, port in value.items() if type(port) is int and 0 < port <= MAX_PORT}


def _running(home: Path) -> dict[str, object]:
    try:
        found = json.loads((home / "up.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def usage(message: str) -> NoReturn:
    raise CommandFailed(message, Exit.USAGE)


def refuse_wrong_port(option: str, url: str) -> None:
    """Raises CommandFailed for a URL whose port does not exist."""
    if not has_real_port(url):
        usage(f"{option} {without_credentials(url)!r}: {PORT_RULE}")


def full_name(kind: str, name: str) -> str:
    """`fraud` or `models/fraud` as a resource name."""
    return name if name.startswith(f"{kind}/") else f"{kind}/{name}"


def model_name(text: str) -> str:
    """`fraud` or `models/fraud` as the model's name. Raises CommandFailed."""
    name = text.removeprefix("models/")
    if not names.is_model_name(name):
        usage(f"{text!r}: expected the name of a model, such as fraud; {names.MODEL_NAME_RULE}")
    return name


def served_version(model: str, version: str) -> tuple[str, str]:
    """A model and the number of its version, empty for the live one, as a gateway takes them. Raises CommandFailed."""
    named, mark, _ = model.removeprefix("models/").partition("@" if "@" in model else "/")
    if mark:
        usage(f"{model!r} names a version: expected the model alone, such as {named or 'fraud'}; --version chooses one")
    number = version.removeprefix("v")
    if number and not names.NUMBER.fullmatch(number):
        usage(f"--version {version!r}: expected the number of a version, such as 3")
    return model_name(model), number


def version_name(text: str) -> str:
    """`fraud/3`, `fraud/v3`, `fraud@alias` or the full resource name."""
    if text.startswith("models/"):
        return text
    model, at, alias = text.partition("@")
    if at:
        return names.alias_name(model, alias)
    return names.version_name(*model_and_number(text))


def numbered_version(context: typer.Context, text: str) -> str:
    """The resource name of the version with its number. An alias is looked up: a change names a version by number."""
    name = version_name(text)
    if names.split_alias(name) is None:
        return name
    request = registry_service.GetVersionRequest(name=name)
    return session(context).stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS).name


def version_parts(context: typer.Context, text: str) -> tuple[str, int]:
    """Model and number of the version in any of the forms of `version_name`. Raises CommandFailed."""
    found = names.split_numbered(numbered_version(context, text), "versions")
    return found or usage(f"{text!r}: expected MODEL/NUMBER, for example fraud/3")


def release_name(text: str) -> str:
    """`fraud/3` or the full resource name."""
    if text.startswith("models/"):
        return text
    return names.release_name(*model_and_number(text))


def model_and_number(text: str) -> tuple[str, int]:
    model, slash, number = text.partition("/")
    number = number.removeprefix("v")
    if not slash or not names.NUMBER.fullmatch(number):
        usage(f"{text!r}: expected MODEL/NUMBER with at most 9 digits and no leading 0, for example fraud/3")
    return model, int(number)
