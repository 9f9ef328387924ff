"""Opens the port of a gRPC server: with TLS when it has a certificate, and then a socket of its own beside it."""

from typing import Protocol

import grpc

from headgate.runtime.connections import max_connections
from headgate.runtime.errors import CannotListen
from headgate.runtime.own_socket import SocketFolder
from headgate.runtime.rpc.quiet import on_loopback
from headgate.runtime.rpc.tls_version import warn_of_tls_1_2
from headgate.runtime.tls import Tls, TlsFiles, WatchedTls

HANDSHAKE_SECONDS = 10.0


def connection_limits() -> tuple[tuple[str, int], ...]:
    """Options of a gRPC server: how long a caller may take until it speaks HTTP/2, and how many may be connected.

    gRPC's core gives a caller 120 s to agree on TLS, and takes any number of connections.
    """
    return (
        ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_SECONDS * 1000)),
        ("grpc.max_allowed_incoming_connections", max_connections()),
    )


class _Server(Protocol):
    """What both kinds of servers of gRPC have in common."""

    def add_insecure_port(self, address: str) -> int: ...

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int: ...


class ListeningPort:
    """The port of a server, and the address by which the server reaches itself.

    With TLS that is a Unix socket that only this user can open: the server need not have a certificate as a caller.
    """

    def __init__(self, host: str, port: int, tls: TlsFiles | None) -> None:
        self._host, self.port, self._tls = host, port, tls
        self._folder: SocketFolder | None = None

    def open(self, server: _Server) -> int:
        """Adds the port to the server, and returns it. Raises CannotListen and TlsUnusable."""
        address = f"{self._host}:{self.port}"
        try:
            if self._tls is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, server_credentials(self._tls))
                self._folder = SocketFolder()
                server.add_insecure_port(self.own_address)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {address}: does another process use the port?") from error
        return self.port

    @property
    def own_address(self) -> str:
        """Where the open server reaches itself without TLS."""
        if self._folder:
            return f"unix:{self._folder.socket}"
        return on_loopback(self._host, self.port)

    def close(self) -> None:
        """Removes the socket. The server has been stopped."""
        if self._folder:
            self._folder.close()


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files: each handshake gets the newest certificate. Raises TlsUnusable."""
    warn_of_tls_1_2()
    watched = WatchedTls(files)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        return _configuration(watched.current) if watched.renewed() else None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(watched.current),
        renewed,  # type: ignore[arg-type]  # None keeps the last one
        require_client_authentication=files.client_ca is not None,
    )


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], root_certificates=tls.client_ca)
