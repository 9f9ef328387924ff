"""The certificate of a server: three files, read again when they change. A handshake never waits for a restart."""

import logging
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headgate.runtime.clock import utc_now

_logger = logging.getLogger(__name__)

CERTIFICATE_HAS_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""

_Stamp = tuple[tuple[int, int, int], ...]


class TlsUnusable(Exception):
    """The files cannot be used. The message names the file and says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What a server shows to its callers, as PEM. With a `client_ca`, a caller must show a certificate of it."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate with its chain, its private key and the authority of the callers lie."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> Tls:
        """The content of the files, which belongs together. Raises TlsUnusable."""
        before = self._content()
        self.context()
        if self._content() != before:
            raise TlsUnusable(f"{self.certificate} and its key change at this moment")
        return before

    def context(self) -> ssl.SSLContext:
        """For a server on Python's ssl: TLS 1.3. Raises TlsUnusable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        place = self.certificate
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            if self.client_ca:
                place = self.client_ca
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise TlsUnusable(f"{place} (with the key {self.key}): {reason}") from error
        except OSError as error:
            raise TlsUnusable(f"{place} (with the key {self.key}): {error.strerror or error}") from error
        return context

    def stamp(self) -> _Stamp:
        """Another value once a file has been replaced or written. Raises OSError."""
        found = [path.stat() for path in self._paths]
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else ()))

    def _content(self) -> Tls:
        contents = []
        for path in self._paths:
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                raise TlsUnusable(f"{path}: {error.strerror}") from error
        return Tls(*contents)


class WatchedTls:
    """The newest content of the files that could be used. Every method may be called on any thread."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsUnusable."""
        self.files = files
        self.current = files.read()
        self._stamp = _stamp_of(files)
        self._lock = threading.Lock()
        self._warn_of_its_end()

    def renewed(self) -> bool:
        """Whether `current` is new since the last call. Files that cannot be used are logged, and nothing changes."""
        with self._lock:
            stamp = _stamp_of(self.files)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            try:
                found = self.files.read()
            except TlsUnusable as error:
                _logger.warning("the new certificate cannot be used, so the last one stays: %s", error)
                return False
            if found == self.current:
                return False
            self.current = found
            _logger.info("the certificate was read again", extra={"file": str(self.files.certificate)})
            self._warn_of_its_end()
            return True

    def _warn_of_its_end(self) -> None:
        if not is_refused_for_its_age(self.files):
            return
        # Imported late: it takes 9 MiB, which a service with a good certificate need not have.
        from headgate.certificates.authority import has_ended

        if ended := has_ended(self.current.certificate, utc_now()):
            _logger.warning("%s: %s, so callers refuse it", self.files.certificate, ended)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A caller that takes this certificate alone, whatever hosts it names. Raises OSError."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def is_refused_for_its_age(files: TlsFiles) -> bool:
    """Whether callers find that the certificate has ended. A caller and the server agree on TLS in memory to see it."""
    to_server, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        caller = trusting(files.certificate).wrap_bio(to_caller, to_server)
        server = files.context().wrap_bio(to_server, to_caller, server_side=True)
        for side in (caller, server, caller):  # the caller says hello, the server shows its certificate
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code == CERTIFICATE_HAS_EXPIRED
    except (OSError, TlsUnusable):
        pass  # files that change at this moment are looked at again
    return False


def _stamp_of(files: TlsFiles) -> _Stamp:
    try:
        return files.stamp()
    except OSError:
        return ()


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise OSError("the key has a password; expected one without")
