"""Starts servers for tests: on free ports, ended with their parent, and waited for until they answer."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headgate.cli.free_ports import is_free

HOST = "127.0.0.1"
END_SECONDS = 30.0
FIRST_PORT, END_PORT = 12_000, 32_000
"""Below the ports that Linux uses for outgoing connections (net.ipv4.ip_local_port_range)."""
PORT_SHARES = 16
TICK_SECONDS = 0.02
CONNECT_SECONDS = 1.0
LAST_OUTPUT_CHARACTERS = 2000
_END_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent ended first")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServerUnavailable(Exception):
    """The server does not start. The message is its last output."""


def free_ports(count: int) -> list[int]:
    """Ports on which no server listens, and that this process has not given out before."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(_PORTS)
        if is_free(port):
            ports.append(port)
    return ports


def _own_ports() -> Iterator[int]:
    """Gives each worker of pytest-xdist its own share of the ports, one after the other, starting at a random one.

    The kernel uses none of them for outgoing connections, so a port stays free until its server takes it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_SHARES
    share = range(FIRST_PORT + worker, END_PORT, PORT_SHARES)
    return itertools.islice(itertools.cycle(share), random.randrange(len(share)), None)


_PORTS = _own_ports()


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def launch(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Starts a server. The kernel ends it when the thread that started it ends, also when the process is killed."""
    # Popen's preexec_fn would run Python after the fork, and gRPC's threads do not survive that. So it is a program.
    wrapper = (sys.executable, "-ISc", _END_WITH_PARENT, str(os.getpid()))
    with output.open("ab") as log:
        return subprocess.Popen(
            (*wrapper, *command),
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches only the test, which then stops the server
        )


def await_ready(
    process: subprocess.Popen[bytes] | None, output: Path, is_ready: Callable[[], bool], seconds: float
) -> None:
    """Raises ServerUnavailable when the server ends or is not ready in time. The caller must end the server."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process is None or process.poll() is not None or time.monotonic() > deadline:
            raise ServerUnavailable(output.read_text(errors="replace")[-LAST_OUTPUT_CHARACTERS:])
        time.sleep(TICK_SECONDS)


def freeze(process: subprocess.Popen[Any]) -> None:
    """Stops the process until it gets SIGCONT. Returns when none of its threads runs any more.

    The signal alone returns earlier, and on a busy machine the process then still answers for a while.
    """
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + END_SECONDS
    while not all(_is_stopped(thread) for thread in Path(f"/proc/{process.pid}/task").iterdir()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerUnavailable("the process was not stopped")
        time.sleep(TICK_SECONDS)


def _is_stopped(thread: Path) -> bool:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # the thread has ended
        return True


def end(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    """Sends the signal and waits until the process has ended. After END_SECONDS it sends SIGKILL."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_SECONDS)
