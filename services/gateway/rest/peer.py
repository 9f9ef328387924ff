"""Who is at the other end of a connection: its address, and the names in the certificate that TLS has verified."""

import asyncio
from functools import cached_property
from typing import Any


class Peer:
    """Looked up once for a connection, when somebody asks."""

    def __init__(self, transport: asyncio.BaseTransport | None = None) -> None:
        self._transport = transport

    @cached_property
    def uris(self) -> tuple[str, ...]:
        """The URIs in the certificate; none without one."""
        certificate = self._info("peercert") or {}
        return tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI")

    def address(self) -> str:
        """host:port; empty on a Unix socket."""
        found = self._info("peername")
        return f"{found[0]}:{found[1]}" if isinstance(found, tuple) else ""

    def _info(self, name: str) -> Any:
        return self._transport.get_extra_info(name) if self._transport is not None else None


NO_PEER = Peer()
"""Of a request that no connection has brought."""
