"""The certificates that `headgate up` makes for its services, and the authority by which its callers know them."""

from pathlib import Path

from headgate.access.subject import SERVICES
from headgate.certificates.authority import LIFETIME, CertificateUnusable
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import Holder, Kind
from headgate.cli.session import KEYS, CommandFailed
from headgate.client.tls import ClientTls
from headgate.runtime.clock import utc_now

CERTIFICATES = Path(KEYS) / "certificates"


class OwnCertificates:
    """Below the folder of keys, which the trainer hides from the code of commits.

    All are renewed while the services run, which read the new files by themselves.
    """

    def __init__(self, home: Path) -> None:
        self._folder = CertificateFolder(home / CERTIFICATES)

    def refresh(self) -> None:
        """Makes what is missing, and renews what ends soon. Raises CommandFailed."""
        folder, now = self._folder, utc_now()
        folder.make()
        try:
            with folder.locked():
                # A start that was killed may have left the key alone, which has signed nothing yet.
                is_there = folder.authority_file.exists()
                authority = folder.authority(now) if is_there else folder.create_authority(now)
                for holder in (Holder(Kind.SERVICE, name) for name in SERVICES):
                    if not folder.pair_file(holder).exists():
                        folder.issue(authority, holder, holder.hosts(), LIFETIME, now)
                folder.renew(authority, now)
        except CertificateUnusable as error:
            raise CommandFailed(str(error)) from error

    def environ(self, service: str) -> dict[str, str]:
        """The settings by which the service finds its certificate."""
        pair = str(self._folder.pair_file(Holder(Kind.SERVICE, service)))
        return {"HEADGATE_TLS_CERTIFICATE": pair, "HEADGATE_TLS_KEY": pair}

    @property
    def caller(self) -> ClientTls:
        """How the services are called: their callers prove themselves by tokens, and need no certificate."""
        return ClientTls(self._folder.authority_file)
