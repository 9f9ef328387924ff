"""The certificates that `headgate up --tls` makes: of its services, and of the person who started it."""

import re
from pathlib import Path

from headgate.access.subject import SERVICES
from headgate.certificates.authority import LIFETIME, CertificateUnusable
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import Holder, Kind
from headgate.cli.session import CommandFailed
from headgate.client.actor import logged_in
from headgate.client.tls import ClientTls
from headgate.runtime.clock import utc_now

OPEN_TO_ALL = frozenset({"gateway"})
"""Services whose callers need no certificate: any program of this machine may predict."""


class OwnCertificates:
    """Below the folder of keys, which the trainer hides from the code of commits.

    All are renewed while the services run, which read the new files by themselves.
    """

    def __init__(self, home: Path) -> None:
        self._folder = CertificateFolder(home / "keys" / "certificates")
        self._person = Holder(Kind.USER, _name_of(logged_in()))

    def refresh(self) -> None:
        """Makes what is missing, and renews what ends soon. Raises CommandFailed."""
        folder, now = self._folder, utc_now()
        folder.make()
        try:
            with folder.locked():
                authority = folder.authority(now) if folder.has_authority() else folder.create_authority(now)
                for holder in (*(Holder(Kind.SERVICE, name) for name in SERVICES), self._person):
                    if not folder.pair_file(holder).exists():
                        folder.issue(authority, holder, holder.hosts(), LIFETIME, now)
                folder.renew(authority, now)
        except CertificateUnusable as error:
            raise CommandFailed(str(error)) from error

    def environ(self, service: str) -> dict[str, str]:
        """The settings by which the service finds its certificate, and knows who may call it."""
        pair = str(self._folder.pair_file(Holder(Kind.SERVICE, service)))
        callers = {} if service in OPEN_TO_ALL else {"HEADGATE_TLS_CLIENT_CA": str(self._folder.authority_file)}
        return {"HEADGATE_TLS_CERTIFICATE": pair, "HEADGATE_TLS_KEY": pair, **callers}

    @property
    def caller(self) -> ClientTls:
        """How the person who started the services calls them."""
        pair = self._folder.pair_file(self._person)
        return ClientTls(self._folder.authority_file, pair, pair)


def _name_of(person: str) -> str:
    """The name of a user as a certificate can hold it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", person)[:253]
    return name if name[:1].isalnum() else f"u{name}"
