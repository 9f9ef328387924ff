"""An authority in a folder, as `headgate certificates` makes one, with the files of servers and callers."""

from datetime import timedelta
from pathlib import Path

from headgate.certificates.authority import LIFETIME
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import LOOPBACK, Holder, holder_of
from headgate.client.tls import ClientTls
from headgate.runtime.clock import utc_now
from headgate.runtime.tls import TlsFiles


class Issued:
    """An authority and what it has issued."""

    def __init__(self, path: Path) -> None:
        self._folder = CertificateFolder(path)
        self._folder.make()
        self._authority = self._folder.create_authority(utc_now())
        self.authority_file = self._folder.authority_file

    def pair(self, holder: str, age: timedelta = timedelta(0), hosts: tuple[str, ...] = LOOPBACK) -> Path:
        """The file of a certificate with its key, by default a new one for this machine."""
        found = holder_of(holder)
        assert isinstance(found, Holder)
        return self._folder.issue(self._authority, found, hosts, LIFETIME, utc_now() - age).file

    def ended(self, holder: str) -> Path:
        """The same, but it holds no longer."""
        return self.pair(holder, LIFETIME * 2)

    def server(self, service: str) -> TlsFiles:
        """The files of a server that asks its callers for a certificate of this authority."""
        pair = self.pair(service)
        return TlsFiles(pair, pair, self.authority_file)

    def caller(self, holder: str) -> ClientTls:
        """The files of a caller that trusts this authority and has a certificate of it."""
        pair = self.pair(holder)
        return ClientTls(self.authority_file, pair, pair)
