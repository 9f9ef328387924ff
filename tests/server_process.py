"""What servers that tests start have in common: a free port, an end with their parent, a wait until they answer."""

import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HOST = "127.0.0.1"
STOP_SECONDS = 30.0
TICK_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class ServerUnavailable(Exception):
    """The server cannot run here; the message says what it last printed."""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as held:
        return int(held.getsockname()[1])


def start(
    command: Sequence[str], output: Path, is_ready: Callable[[], bool], seconds: float
) -> subprocess.Popen[bytes]:
    """Returns when the server is ready; the kernel kills it when its parent ends. Raises ServerUnavailable."""
    with output.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent)
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process)
            raise ServerUnavailable(f"{command[0]} did not start: {output.read_text(errors='replace')[-2000:]}")
        time.sleep(TICK_SECONDS)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, a bounded wait, then SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def _die_with_parent() -> None:
    """Runs in the child: the kernel kills it when the thread that started it ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
