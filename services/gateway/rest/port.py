"""The port of the REST server. With TLS it follows the files of the certificate, and the server reaches itself by a
Unix socket: it need not have a certificate as a caller."""

import asyncio
import logging
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from headgate.runtime.errors import CannotListen
from headgate.runtime.rpc.quiet import on_loopback
from headgate.runtime.tls import TlsFiles, TlsUnusable, WatchedTls
from services.gateway.rest.limits import HANDSHAKE_SECONDS, LINGER_SECONDS

BACKLOG = 1_024
LOOK_SECONDS = 1.0
"""How often the files of the certificate are looked at."""
HTTP1 = "http/1.1"

logger = logging.getLogger(__name__)


class RestPort:
    """Runs on the event loop of its server."""

    def __init__(
        self,
        connect: Callable[[], asyncio.Protocol],
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        tls: TlsFiles | None,
        is_shared: bool = False,
    ) -> None:
        self._connect, self._loop, self._is_shared = connect, loop, is_shared
        self._host, self._port, self._tls = host, port, tls
        self._servers: list[asyncio.Server] = []
        self._folder = ""

    async def open(self) -> int:
        """Opens the port and returns it. Raises CannotListen and TlsUnusable."""
        try:
            self._servers = [await (self._plain() if self._tls is None else self._encrypted(self._tls))]
        except OSError as error:
            address = f"{self._host}:{self._port}"
            raise CannotListen(f"cannot listen on {address}: does another process use the port?") from error
        self._port = self._servers[0].sockets[0].getsockname()[1]
        if self._tls is not None:
            self._folder = tempfile.mkdtemp(prefix="headgate-")
            self._servers.append(await self._loop.create_unix_server(self._connect, self.own_address))
        return self._port

    @property
    def own_address(self) -> str:
        """Where the server reaches itself without TLS: host:port, or the path of a Unix socket."""
        return str(Path(self._folder, "own.sock")) if self._folder else on_loopback(self._host, self._port)

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return any(server.is_serving() for server in self._servers)

    def close(self) -> None:
        """Takes no more connections. The open ones stay."""
        for server in self._servers:
            server.close()
        if self._folder:
            self._next_look.cancel()
            self._socket.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _plain(self) -> asyncio.Server:
        shared = self._is_shared or None
        return await self._loop.create_server(self._connect, self._host, self._port, backlog=BACKLOG, reuse_port=shared)

    async def _encrypted(self, files: TlsFiles) -> asyncio.Server:
        self._watched = WatchedTls(files)
        host = self._host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = host, self._port
        self._socket = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=self._is_shared)
        self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)
        return await self._listen(files)

    async def _listen(self, files: TlsFiles) -> asyncio.Server:
        return await self._loop.create_server(
            self._connect,
            sock=self._socket.dup(),
            ssl=_context(files),
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=LINGER_SECONDS,
        )

    def _look(self) -> None:
        self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)
        if self._watched.renewed():
            self._renewing = self._loop.create_task(self._renew(self._watched.files))

    async def _renew(self, files: TlsFiles) -> None:
        """The next connections get the new certificate. Connections that wait on the socket meanwhile are not lost."""
        try:
            renewed = await self._listen(files)
        except TlsUnusable as error:
            logger.warning("the new certificate cannot be used, so the last one stays: %s", error)
            return
        self._servers[0].close()
        self._servers[0] = renewed


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = files.context()
    context.set_alpn_protocols([HTTP1])
    return context
