"""How a caller speaks TLS: the authority whose servers it trusts, and its own certificate where servers ask for one."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from headgate.certificates.authority import has_ended
from headgate.runtime.clock import utc_now


class ClientTlsUnusable(Exception):
    """The files cannot be used. The message says which, and what is wrong."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files. The certificate and its key go together."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For HTTP. Raises ClientTlsUnusable."""
        place = self.ca
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                place = self.certificate
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
                if ended := has_ended(self.certificate.read_bytes(), utc_now()):
                    raise ClientTlsUnusable(f"{self.certificate}: {ended}; expected one that holds")
        except ssl.SSLError as error:
            raise ClientTlsUnusable(f"{place}: {(error.reason or str(error)).lower().replace('_', ' ')}") from error
        except OSError as error:
            raise ClientTlsUnusable(f"{place}: {error.strerror or error}") from error
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC. Raises ClientTlsUnusable."""
        self.context()  # gRPC would not say what is wrong
        key, certificate = (path.read_bytes() if path else None for path in (self.key, self.certificate))
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), key, certificate)


def client_tls(ca: str, certificate: str, key: str) -> ClientTls | None:
    """The files of these names, which can be used; None without an authority. Raises ClientTlsUnusable."""
    if bool(certificate) != bool(key):
        raise ClientTlsUnusable("a client's certificate and its key go together: name both or none")
    if not ca:
        if certificate:
            raise ClientTlsUnusable("a client's certificate needs the authority of the servers too")
        return None
    found = ClientTls(Path(ca), *(Path(name) if name else None for name in (certificate, key)))
    found.context()
    return found


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise OSError("the key has a password; expected one without")
