"""A real Redis server for tests: Debian's redis-server on a free port, nothing on disk unless asked.

It dies with the process that started it.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

READY_SECONDS = 20.0
STOP_SECONDS = 20.0
ADDRESS_VARIABLE = "HEADGATE_REDIS"
"""Names a running server (redis://host:port/db) to use instead of starting one. Tests flush its database."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class RedisUnavailable(Exception):
    """The server cannot run here; the message says what is missing or what it last printed."""


class RedisServer:
    """One server. `kill` and `start` again keep the port: what a crash of Redis looks like to its clients."""

    def __init__(self, *options: str) -> None:
        if shutil.which("redis-server") is None:
            raise RedisUnavailable("the Redis server needs redis-server")
        self._directory = Path(tempfile.mkdtemp(prefix="headgate-redis-"))
        self._options = options
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Returns when the server answers. Raises RedisUnavailable."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        command += ["--save", "", "--appendonly", "no", *self._options]
        with open(self._directory / "server.log", "ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, preexec_fn=_die_with_parent
            )
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RedisUnavailable(f"redis-server did not start: {self._last_words()}")
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Stops answering, as a machine that swaps does; connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _last_words(self) -> str:
        return (self._directory / "server.log").read_text(errors="replace")[-2000:]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) != b""
    except OSError:
        return False


def _die_with_parent() -> None:
    """Runs in the child: the kernel kills it when the thread that started it ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def named_by_environment() -> str:
    """The server that the environment names; empty for one of our own."""
    return os.environ.get(ADDRESS_VARIABLE, "")
