"""A real Redis server for tests: Debian's redis-server on a free port. By default it writes nothing to disk.

It ends with the process that started it.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.server_process import ServerUnavailable, await_ready, end, free_ports, freeze, launch
from tests.waiting import PATIENCE_SECONDS

ADDRESS_VARIABLE = "HEADGATE_REDIS"
"""The variable for a running server (redis://host:port/db) to use instead of starting one. Tests flush its database."""


class RedisNotStarted(Exception):
    """The server cannot run here. The message names what is missing, or has the server's last output."""


class RedisServer:
    """One server. It keeps its port after `kill` and `start`, like a Redis that crashes."""

    def __init__(self, *options: str) -> None:
        if shutil.which("redis-server") is None:
            raise RedisNotStarted("the Redis server needs redis-server")
        self._directory = Path(tempfile.mkdtemp(prefix="headgate-redis-"))
        self._options = options
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Returns when the server answers. Raises RedisNotStarted."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        command += ["--save", "", "--appendonly", "no", *self._options]
        output = self._directory / "server.log"
        self._process = launch(command, output)
        try:
            await_ready(self._process, output, lambda: _answers(self.port), PATIENCE_SECONDS)
        except ServerUnavailable as error:
            self.kill()
            raise RedisNotStarted(f"redis-server did not start: {error}") from error
        return self

    def kill(self) -> None:
        """Kills the server with SIGKILL."""
        process, self._process = self._process, None
        end(process, signal.SIGKILL)

    def freeze(self) -> None:
        """Makes the server stop answering, like a machine that swaps. Connections stay open."""
        if self._process is not None:
            freeze(self._process)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) != b""
    except OSError:
        return False


def named_by_environment() -> str:
    """The server that the environment names; empty when the tests start one."""
    return os.environ.get(ADDRESS_VARIABLE, "")
