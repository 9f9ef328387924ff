"""`headgate up`: every service on this machine over one log, with no server installed."""

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from headgate.artifacts.keys import create_keys
from headgate.cli.session import HOME, CommandFailed, Exit, default_log, progress, say
from headgate.cli.supervisor import HopelessChild, Program, Supervisor
from headgate.client.stubs import serves
from headgate.log.open import without_passwords
from headgate.log.startup import await_log, create_declared

SERVICES = ("registry", "trainer", "evaluator", "deployer", "gateway")
HOST = "127.0.0.1"
METRICS_OFFSET = 10
"""From the port of a service's gRPC door to that of its /metrics, /livez and /readyz."""
READY_SECONDS = 120.0
PORT_WAIT_SECONDS = 20.0
"""How long the services of a run that was killed may take to let go of their ports."""
TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one `headgate up` is."""

    home: Path
    log_url: str
    ports: Mapping[str, int]
    metrics_ports: Mapping[str, int]

    def environ(self, service: str) -> dict[str, str]:
        chosen = {
            "HEADGATE_LOG": self.log_url,
            "HEADGATE_ARTIFACTS": f"file://{self.home / 'artifacts'}",
            "HEADGATE_KEYS": str(self.home / "keys"),
            "HEADGATE_PORT": str(self.ports[service]),
            "HEADGATE_METRICS_PORT": str(self.metrics_ports[service]),
            "HEADGATE_HOST": HOST,
            "HEADGATE_NAME": f"{service}-0",
            "HEADGATE_ENVIRONMENT": "production",
            "HEADGATE_WORK": str(self.home / "work" / service),
        }
        if service == "registry":
            # Here the registry shares the machine with everything else, and one core serves more calls than several.
            chosen["HEADGATE_ONE_CORE"] = os.environ.get("HEADGATE_ONE_CORE") or "true"
        return chosen

    def program(self, service: str) -> Program:
        command = (sys.executable, "-m", f"services.{service}")
        return Program(service, command, self.environ(service), self.home / "logs" / f"{service}.log")


def run_up(log_url: str, base_port: int, log_wait_seconds: float) -> None:
    """Runs until SIGINT or SIGTERM. Raises CommandFailed."""
    home = Path(HOME).absolute()
    home.mkdir(exist_ok=True)
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.put(received))
    with _only_one(home):
        layout = Layout(home, log_url or default_log(home), *_ports(base_port))
        _prepare(layout, log_wait_seconds, signals)
        supervisor = Supervisor([layout.program(service) for service in SERVICES], progress.print)
        try:
            _tend(supervisor, layout, signals)
        except HopelessChild as error:
            raise CommandFailed(str(error)) from error
        finally:
            progress.print("stopping")
            supervisor.stop()
            (home / "up.json").unlink(missing_ok=True)
    progress.print("stopped; `headgate up` in this folder goes on where it ended")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Holds the folder's lock, which the kernel lets go of however this process ends."""
    with open(home / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise CommandFailed(f"{home} is in use: `headgate up` already runs there (process {holder})") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _ports(base_port: int) -> tuple[dict[str, int], dict[str, int]]:
    """Of the gRPC doors, and of the metrics."""
    first = [base_port, base_port + METRICS_OFFSET]
    if base_port:
        ports, metrics_ports = ({service: base + n for n, service in enumerate(SERVICES)} for base in first)
        for service in SERVICES:
            _wait_free(service, ports[service])
            _wait_free(f"the metrics of {service}", metrics_ports[service])
        return ports, metrics_ports
    held = [socket.create_server((HOST, 0)) for _ in SERVICES * 2]
    numbers = [door.getsockname()[1] for door in held]
    for door in held:
        door.close()
    return dict(zip(SERVICES, numbers, strict=False)), dict(zip(SERVICES, numbers[len(SERVICES) :], strict=True))


def _wait_free(service: str, port: int) -> None:
    if _is_free(port):
        return
    say(f"port {port} for {service} is taken; waiting up to {PORT_WAIT_SECONDS:g} s for whoever leaves it")
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while not _is_free(port):
        if time.monotonic() > deadline:
            raise CommandFailed(f"port {port} for {service} is taken by another program: try --base-port", Exit.FAILED)
        time.sleep(TICK_SECONDS)


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def _prepare(layout: Layout, log_wait_seconds: float, signals: "SimpleQueue[int]") -> None:
    for name in ("artifacts", "logs", *(f"work/{service}" for service in SERVICES)):
        (layout.home / name).mkdir(parents=True, exist_ok=True)
    create_keys(layout.home / "keys")
    reached = await_log(layout.log_url, log_wait_seconds, say, partial(_received, signals), create_declared)
    reached.close()
    running = {
        "log": layout.log_url,
        "ports": dict(layout.ports),
        "metrics_ports": dict(layout.metrics_ports),
        "pid": os.getpid(),
    }
    aside = layout.home / "up.json.new"
    aside.touch(mode=0o600)  # the log's address may hold a password
    aside.write_text(json.dumps(running))
    aside.replace(layout.home / "up.json")


def _tend(supervisor: Supervisor, layout: Layout, signals: "SimpleQueue[int]") -> None:
    """Returns after a signal."""
    progress.print(f"starting {', '.join(SERVICES)} over {without_passwords(layout.log_url)}")
    waiting = dict(layout.ports)
    deadline = time.monotonic() + READY_SECONDS
    while not _received(signals):
        supervisor.tend()
        for service in list(waiting):
            if serves(f"{HOST}:{waiting[service]}", timeout_seconds=TICK_SECONDS):
                progress.print(f"ready {service} {HOST}:{waiting.pop(service)}")
                if not waiting:
                    progress.print("all services are ready; Ctrl-C stops them")
        if waiting and time.monotonic() > deadline:
            names = ", ".join(waiting)
            raise CommandFailed(f"not ready within {READY_SECONDS:g} s: {names}; see {layout.home / 'logs'}")


def _received(signals: "SimpleQueue[int]", timeout_seconds: float = TICK_SECONDS) -> bool:
    try:
        signals.get(timeout=timeout_seconds)
    except Empty:
        return False
    return True
