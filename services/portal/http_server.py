"""The console's HTTP port: uvicorn on an event loop in a thread of its own, with TLS by files that may change."""

import asyncio
import logging
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headgate.runtime.errors import CannotListen
from headgate.runtime.tls import TlsFiles, TlsUnusable, WatchedTls

BACKLOG = 1_024
MAX_CONNECTIONS = 4_000
"""Further requests are answered 503."""
KEEP_ALIVE_SECONDS = 30
HEADER_SECONDS = 30.0
"""How long a connection may take for the header of its next request. Without this anybody could hold all of them."""
LOOK_SECONDS = 1.0
"""How often the files of the certificate are looked at."""
STOP_MARGIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


class HttpServer:
    """Runs an ASGI application from `start` to `stop`."""

    def __init__(self, application: Any, host: str, port: int, tls: TlsFiles | None) -> None:
        """Browsers have no certificates of Headgate's, so none is asked for."""
        self._host, self.port = host, port
        self._watched = WatchedTls(TlsFiles(tls.certificate, tls.key)) if tls else None
        self._server = _Uvicorn(application, self._watched)
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> int:
        """Opens the port and returns it. Raises CannotListen."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._host.strip("[]"), self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise CannotListen(f"cannot listen on {self._host}:{self.port}: {error.strerror}") from error
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        return self.port

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Takes no more connections, and gives the running requests the grace to end."""
        self._server.config.timeout_graceful_shutdown = max(1, int(grace_seconds))
        self._server.should_exit = True
        self._thread.join(grace_seconds + STOP_MARGIN_SECONDS)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        asyncio.run(self._server.serve([self._socket]))


class _Connection(H11Protocol):
    """One connection. uvicorn itself waits without an end for the first request, and for the rest of a header."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_after(None)

    def on_response_complete(self) -> None:
        last = self.cycle
        super().on_response_complete()
        self._await_after(last)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_wait()
        super().connection_lost(exc)

    def _cancel_wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def _await_after(self, last: object) -> None:
        """Closes the connection in time unless another request has begun after the last one."""
        self._cancel_wait()
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up, last)

    def _give_up(self, last: object) -> None:
        if self.cycle is last:
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    def __init__(self, application: Any, watched: WatchedTls | None) -> None:
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        config.ssl = watched.files.context() if watched else None
        super().__init__(config)
        self._watched, self._ticks = watched, 0

    async def on_tick(self, counter: int) -> bool:
        if self._watched is not None and counter % int(LOOK_SECONDS * 10) == 0:
            self._renew(self._watched)
        return await super().on_tick(counter)

    def _renew(self, watched: WatchedTls) -> None:
        """Connections that are open stay as they are. The next ones get the new certificate."""
        if not watched.renewed() or self.config.ssl is None:
            return
        try:
            watched.files.context()
            self.config.ssl.load_cert_chain(watched.files.certificate, watched.files.key)
        except (TlsUnusable, OSError) as error:
            logger.warning("the new certificate cannot be used, so the last one stays: %s", error)
