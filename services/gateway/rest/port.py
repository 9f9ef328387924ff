"""The port of the REST server. With TLS it follows the files of the certificate, and the server reaches itself by a
Unix socket: it need not have a certificate as a caller."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from headgate.runtime.errors import CannotListen
from headgate.runtime.own_socket import SocketFolder
from headgate.runtime.refused_handshakes import RefusedHandshakes
from headgate.runtime.rpc.quiet import on_loopback
from headgate.runtime.tls import TlsFiles, TlsUnusable, WatchedTls
from services.gateway.rest.limits import HANDSHAKE_SECONDS, LINGER_SECONDS

BACKLOG = 1_024
LOOK_SECONDS = 1.0
"""How often the files of the certificate are looked at."""
NO_FILES_SECONDS = 1.0
"""How long no connection is taken after the system had no room for one."""
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
        has_room: Callable[[int], bool] = lambda handshakes: True,
    ) -> None:
        """`has_room` says whether one more connection may come while so many others agree on TLS."""
        self._connect, self._loop, self._is_shared = connect, loop, is_shared
        self._host, self._port, self._tls = host, port, tls
        self._has_room = has_room
        self._server: asyncio.Server | None = None
        self._folder: SocketFolder | None = None
        self._handshakes: set[asyncio.Task[object]] = set()

    async def open(self) -> int:
        """Opens the port and returns it. Raises CannotListen and TlsUnusable."""
        try:
            return await (self._plain() if self._tls is None else self._encrypted(self._tls))
        except OSError as error:
            address = f"{self._host}:{self._port}"
            raise CannotListen(f"cannot listen on {address}: does another process use the port?") from error

    @property
    def own_address(self) -> str:
        """Where the server reaches itself without TLS: host:port, or the path of a Unix socket."""
        return str(self._folder.socket) if self._folder else on_loopback(self._host, self._port)

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return self._server is not None and self._server.is_serving()

    async def close(self) -> None:
        """Takes no more connections. The open ones stay."""
        if self._server is not None:
            self._server.close()
        if self._folder:
            self._next_look.cancel()
            self._taking.cancel()
            await asyncio.wait({self._taking})  # the loop must not watch a socket that is closed
            self._socket.close()
            self._folder.close()

    def abort_handshakes(self) -> None:
        """Ends the connections that have not agreed on TLS yet."""
        for task in self._handshakes:
            task.cancel()

    async def _plain(self) -> int:
        shared = self._is_shared or None
        self._server = await self._loop.create_server(
            self._connect, self._host, self._port, backlog=BACKLOG, reuse_port=shared
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self._port

    async def _encrypted(self, files: TlsFiles) -> int:
        self._watched, self._context = WatchedTls(files), _context(files)
        self._refused = RefusedHandshakes("REST")
        host = self._host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = host, self._port
        self._socket = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=self._is_shared)
        self._socket.setblocking(False)
        self._port = int(self._socket.getsockname()[1])
        self._folder = SocketFolder()
        self._server = await self._loop.create_unix_server(self._connect, self.own_address)
        self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)
        self._taking = self._loop.create_task(self._take())
        return self._port

    async def _take(self) -> None:
        """Takes connections. Those that still agree on TLS count for the limit too: each holds a file and memory."""
        while True:
            try:
                connection, caller = await self._loop.sock_accept(self._socket)
            except (ConnectionError, InterruptedError):  # of a caller that has gone already
                continue
            except OSError as error:
                logger.warning("no connection could be taken: %s", error)
                await asyncio.sleep(NO_FILES_SECONDS)
                continue
            if not self._has_room(len(self._handshakes)):
                connection.close()
                continue
            task: asyncio.Task[object] = self._loop.create_task(self._agree(connection, caller))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _agree(self, connection: socket.socket, caller: object) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connect,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )
        except (OSError, TimeoutError) as error:  # of the caller: OpenSSL's errors are OSErrors too
            self._refused.note(error, caller)

    def _look(self) -> None:
        """The next connections get the certificate that is in the files now."""
        self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)
        if self._watched.renewed():
            try:
                self._context = _context(self._watched.files)
            except TlsUnusable as error:
                logger.warning("the new certificate cannot be used, so the last one stays: %s", error)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = files.context()
    context.set_alpn_protocols([HTTP1])
    return context
