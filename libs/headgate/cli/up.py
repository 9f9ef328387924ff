"""`headgate up` runs all services on this machine over one log. It needs no installed server."""

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from headgate.access.subject import SERVICES
from headgate.artifacts.keys import create_keys
from headgate.cli.console import sign_in_link
from headgate.cli.exit_codes import Exit
from headgate.cli.free_ports import HOST, free_ports, is_free
from headgate.cli.own_certificates import OwnCertificates
from headgate.cli.own_token import OwnToken
from headgate.cli.printing import report
from headgate.cli.repositories import SECRETS
from headgate.cli.session import ENCRYPTION_KEY, HOME, KEYS, CommandFailed, default_log
from headgate.cli.supervisor import FatalExit, Program, Supervisor
from headgate.client.stubs import serves
from headgate.client.tls import ClientTls
from headgate.domain.credentials import without_credentials
from headgate.log.startup import await_log, create_declared
from headgate.runtime.rpc import tls_version
from headgate.runtime.settings import TRUE
from headgate.shared_files import replace_file, try_lock

OFFSETS = {service: number for number, service in enumerate((*SERVICES[:-1], "rest", "edge", SERVICES[-1], "console"))}
"""What each port adds to that of the registry. The portal came last, and no port of the others has moved."""
NAMED = {"rest": "REST of the gateway", "edge": "devices of the gateway", "console": "the console"}
METRICS_OFFSET = 10
"""A service's HTTP port (/metrics, /livez, /readyz) is its gRPC port plus this."""
READY_SECONDS = 120.0
"""How long all services may take to become ready."""
PORT_WAIT_SECONDS = 20.0
"""How long to wait for a port: the services of an earlier run that was killed may still hold it."""
TICK_SECONDS = 0.2
TLS_SECONDS = 0.5
"""How long a service may take to say that it is ready, where both agree on TLS first."""
RENEWAL_SECONDS = 3_600.0
"""How often certificates are looked at that end soon."""
AUTHENTICATION = "HEADGATE_AUTHENTICATION"
ENCRYPTION = "HEADGATE_ENCRYPTION_KEY"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder, the log and the ports of one `headgate up`."""

    home: Path
    log_url: str
    ports: Mapping[str, int]
    metrics_ports: Mapping[str, int]
    rest_port: int = 0
    """The port of the gateway's REST server."""
    edge_port: int = 0
    """The port of the gateway's server for devices."""
    console_port: int = 0
    """The port of the portal's web console."""
    certificates: OwnCertificates | None = None
    """Those of the services; without them they speak no TLS unless the settings of this process name some."""
    token: OwnToken | None = None
    """That of whoever starts the services; without one they ask nobody who calls."""

    def environ(self, service: str) -> dict[str, str]:
        environ = {
            "HEADGATE_LOG": self.log_url,
            "HEADGATE_ARTIFACTS": (self.home / "artifacts").as_uri(),
            "HEADGATE_KEYS": str(self.home / KEYS),
            # Outside the folder of the artifacts, so that a copy of that folder shows nothing.
            ENCRYPTION: os.environ.get(ENCRYPTION) or (self.home / KEYS / ENCRYPTION_KEY).as_uri(),
            "HEADGATE_PORT": str(self.ports[service]),
            "HEADGATE_METRICS_PORT": str(self.metrics_ports[service]),
            "HEADGATE_HOST": HOST,
            "HEADGATE_NAME": f"{service}-0",
            "HEADGATE_ENVIRONMENT": "production",
            "HEADGATE_WORK": str(self.home / "work" / service),
            # Otherwise gRPC writes a line of its own form for each caller that fails to agree on TLS.
            tls_version.VARIABLE: tls_version.NONE_OF_TLS_1_2,
            "GRPC_VERBOSITY": os.environ.get("GRPC_VERBOSITY", "ERROR"),
        }
        if self.certificates is not None:
            environ |= self.certificates.environ(service)
        if self.token is not None:
            environ |= self.token.environ()
        asks = (os.environ.get(AUTHENTICATION) or "true") if self.token else "false"
        environ[AUTHENTICATION] = asks
        if service == "gateway":
            environ["HEADGATE_REST_PORT"] = str(self.rest_port)
            environ["HEADGATE_EDGE_PORT"] = str(self.edge_port)
        if service == "portal":
            environ |= self._of_portal()
        if service == "registry":
            # The registry shares this machine with the other services, and it serves more calls on one core.
            environ["HEADGATE_ONE_CORE"] = os.environ.get("HEADGATE_ONE_CORE") or "true"
        return environ

    def _of_portal(self) -> dict[str, str]:
        """Where it serves people, and whom it calls with what they may do."""
        called = {
            f"HEADGATE_{name.upper()}": f"{HOST}:{self.ports[name]}"
            for name in ("registry", "trainer", "evaluator", "deployer")
        }
        called["HEADGATE_EDGE"] = f"{HOST}:{self.edge_port}"
        called["HEADGATE_WEBHOOK_SECRETS"] = str(self.home / SECRETS)
        if self.certificates is not None:
            called["HEADGATE_TLS_CA"] = str(self.certificates.caller.ca)
        return {**called, "HEADGATE_CONSOLE_PORT": str(self.console_port)}

    def program(self, service: str) -> Program:
        command = (sys.executable, "-m", f"services.{service}")
        return Program(service, command, self.environ(service), self.home / "logs" / f"{service}.log")


def run_up(
    log_url: str, base_port: int, log_wait_seconds: float, tls: ClientTls | None = None, insecure: bool = False
) -> None:
    """Runs until SIGINT or SIGTERM. Raises CommandFailed.

    With `tls` the services have certificates of the user's, and are called so. Without, it makes those of both sides,
    or with `insecure` none. Unless `insecure` it also makes the token of whoever starts it.
    """
    (_require_nothing_named if insecure else _require_both_sides)(tls)
    home = Path(HOME).absolute()
    home.mkdir(mode=0o700, exist_ok=True)  # the log and the predictions in it are nobody else's
    certificates = None if insecure or tls else OwnCertificates(home)
    token = None if insecure else OwnToken(home)
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.put(received))
    with _lock_folder(home):
        layout = Layout(home, log_url or default_log(home), *_ports(base_port), certificates, token)
        if certificates is not None:
            certificates.refresh()
            tls = certificates.caller
        if token is not None and tls is not None:
            token.refresh(tls)
        _prepare(layout, log_wait_seconds, signals)
        supervisor = Supervisor([layout.program(service) for service in SERVICES], report)
        try:
            _supervise(supervisor, layout, signals, tls)
        except FatalExit as error:
            raise CommandFailed(str(error)) from error
        finally:
            report("stopping")
            supervisor.stop()
            (home / "up.json").unlink(missing_ok=True)
    report("stopped; `headgate up` in this folder continues from here")


def _require_both_sides(tls: ClientTls | None) -> None:
    """Raises CommandFailed when certificates are named for the services or for this command alone."""
    named = _named()
    if bool(os.environ.get("HEADGATE_TLS_CERTIFICATE")) != (tls is not None) or (named and tls is None):
        problem = (
            f"leave out {', '.join(named) or '--tls-ca'}, and up makes certificates of its own; or, for those of "
            "yours, set both HEADGATE_TLS_CERTIFICATE, for the services, and HEADGATE_TLS_CA, for this command"
        )
        raise CommandFailed(problem, Exit.USAGE)


def _require_nothing_named(tls: ClientTls | None) -> None:
    """Raises CommandFailed when settings ask for what this command is told to do without."""
    named = _named() + [AUTHENTICATION] * (os.environ.get(AUTHENTICATION, "").lower() in TRUE)
    if tls is not None or named:
        what = ", ".join(named) or "--tls-ca"
        raise CommandFailed(f"up --insecure has neither TLS nor tokens: leave out {what}, or --insecure", Exit.USAGE)


def _named() -> list[str]:
    """The settings of TLS in this process."""
    return [name for name in os.environ if name.startswith("HEADGATE_TLS_") and os.environ[name]]


@contextmanager
def _lock_folder(home: Path) -> Iterator[None]:
    """Holds the folder's lock, so only one `headgate up` runs there. The kernel frees it when this process ends."""
    with open(home / "lock", "a+") as lock:
        if not try_lock(lock.fileno()):
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise CommandFailed(f"{home} is in use: `headgate up` already runs there (process {holder})")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _ports(base_port: int) -> tuple[dict[str, int], dict[str, int], int, int, int]:
    """The gRPC and the HTTP ports of the services, those of REST, of devices and of the console.

    With base port 0 they are free ones.
    """
    if base_port:
        numbers = {name: base_port + offset for name, offset in OFFSETS.items()}
        metrics_ports = {service: numbers[service] + METRICS_OFFSET for service in SERVICES}
        for name, port in numbers.items():
            _wait_free(NAMED.get(name, name), port)
        for service, port in metrics_ports.items():
            _wait_free(f"the metrics of {service}", port)
    else:
        free = free_ports(len(OFFSETS) + len(SERVICES))
        numbers = dict(zip(OFFSETS, free, strict=False))
        metrics_ports = dict(zip(SERVICES, free[len(OFFSETS) :], strict=True))
    ports = {service: numbers[service] for service in SERVICES}
    return ports, metrics_ports, numbers["rest"], numbers["edge"], numbers["console"]


def _wait_free(service: str, port: int) -> None:
    if is_free(port):
        return
    report(f"port {port} for {service} is in use; waiting up to {PORT_WAIT_SECONDS:g} s until it is free")
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            problem = f"port {port} for {service} is in use by another program: choose other ports with --base-port"
            raise CommandFailed(problem, Exit.FAILED)
        time.sleep(TICK_SECONDS)


def _prepare(layout: Layout, log_wait_seconds: float, signals: "SimpleQueue[int]") -> None:
    for name in ("artifacts", "logs", *(f"work/{service}" for service in SERVICES)):
        (layout.home / name).mkdir(parents=True, exist_ok=True)
    create_keys(layout.home / KEYS)
    if not os.environ.get(ENCRYPTION):
        # Imported here, because the other commands need no cryptography of it.
        from headgate.artifacts.encryption.key_file import create_key_file

        create_key_file(layout.home / KEYS / ENCRYPTION_KEY)
    log = await_log(layout.log_url, log_wait_seconds, report, partial(_received, signals), create_declared)
    log.close()
    running = {
        "log": layout.log_url,
        "ports": dict(layout.ports),
        "metrics_ports": dict(layout.metrics_ports),
        "rest_port": layout.rest_port,
        "edge_port": layout.edge_port,
        "console_port": layout.console_port,
        "pid": os.getpid(),
    }
    if layout.certificates is not None:
        running["tls"] = {"ca": str(layout.certificates.caller.ca)}
    replace_file(layout.home / "up.json", json.dumps(running).encode())  # the log's address may hold a password


def _supervise(supervisor: Supervisor, layout: Layout, signals: "SimpleQueue[int]", tls: ClientTls | None) -> None:
    """Keeps the services running. Returns after a signal. Raises CommandFailed and FatalExit."""
    report(f"starting {', '.join(SERVICES)} over {without_credentials(layout.log_url)}")
    # The process of each service that was ready. A process that was started again has another id.
    ready: dict[str, int] = {}
    deadline = time.monotonic() + READY_SECONDS
    renewal_at = time.monotonic() + RENEWAL_SECONDS
    while not _received(signals):
        supervisor.poll()
        if layout.certificates is not None and time.monotonic() > renewal_at:
            renewal_at += RENEWAL_SECONDS
            renew(layout.certificates)
        _report_ready(supervisor.pids(), layout, ready, tls)
        if len(ready) < len(SERVICES) and time.monotonic() > deadline:
            names = ", ".join(service for service in SERVICES if service not in ready)
            raise CommandFailed(f"not ready after {READY_SECONDS:g} s: {names}; see {layout.home / 'logs'}")


def renew(certificates: OwnCertificates) -> None:
    """Renews what ends soon. What fails is said and tried again: the present certificates hold for days."""
    try:
        certificates.refresh()
    except (CommandFailed, OSError) as error:
        report(f"the certificates are not renewed, and tried again in {RENEWAL_SECONDS / 3_600:g} h: {error}")


def _report_ready(pids: Mapping[str, int], layout: Layout, ready: dict[str, int], tls: ClientTls | None) -> None:
    """Prints a line for each process that has become ready, and one more when all services are."""
    for service, pid in pids.items():
        address = f"{HOST}:{layout.ports[service]}"
        if ready.get(service) != pid and serves(address, TLS_SECONDS if tls else TICK_SECONDS, tls):
            ready[service] = pid
            report(f"ready {service} {address}")
            if ready == pids and len(ready) == len(SERVICES):
                _report_all_ready(layout, tls)


def _report_all_ready(layout: Layout, tls: ClientTls | None) -> None:
    """Says how people and programs get in, and when the token of this folder does not hold."""
    rest, console = f"{HOST}:{layout.rest_port}/v2", f"{HOST}:{layout.console_port}"
    if layout.token is None or tls is None:
        report(f"without TLS and tokens, everybody on this machine may do everything: curl http://{rest}")
        report(f"the console: http://{console}/")
    else:
        options = shlex.quote(str(layout.token.curl_file))
        report(f"commands in this folder need no option; other programs call as: curl -K {options} https://{rest}")
        problem = layout.token.problem(f"{HOST}:{layout.ports['registry']}", tls)
        report(problem or f"the console, by a link that signs in once: {_link(layout.token, console, tls)}")
    report("all services are ready; Ctrl-C stops them")


def _link(token: OwnToken, console: str, tls: ClientTls) -> str:
    """The link, or the console's address when it makes none."""
    try:
        return sign_in_link(console, token.secret(), tls)
    except CommandFailed:  # the services run all the same
        return f"https://{console}/ (`headgate console` prints the link)"


def _received(signals: "SimpleQueue[int]", timeout_seconds: float = TICK_SECONDS) -> bool:
    try:
        signals.get(timeout=timeout_seconds)
    except Empty:
        return False
    return True
