"""The folder of an authority and its certificates:

authority.pem, which everybody may read and trust; authority.key, which signs; and HOLDER/tls.pem, a key with its
certificate in one file, so that a renewal replaces both at once and no reader sees the half of one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from headgate.certificates.authority import (
    Authority,
    Certificate,
    CertificateUnusable,
    new_authority,
    read_authority,
    read_certificate,
)
from headgate.certificates.holder import Holder, Kind, holder_of
from headgate.shared_files import PRIVATE, replace_file, try_lock

AUTHORITY = "authority.pem"
AUTHORITY_KEY = "authority.key"
PAIR = "tls.pem"
PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate as it lies in the folder."""

    holder: Holder
    file: Path
    certificate: Certificate
    is_trusted: bool
    """Whether the authority of this folder has issued it."""


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """An authority with its certificates, below one path. The methods that write are called with the lock held."""

    path: Path

    @property
    def authority_file(self) -> Path:
        return self.path / AUTHORITY

    def pair_file(self, holder: Holder) -> Path:
        """Where the holder's certificate and its key lie."""
        return self.path / str(holder) / PAIR

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder. Raises CertificateUnusable when there is none, or another process holds it."""
        if not self.path.is_dir():
            raise CertificateUnusable(f"there is no folder {self.path}: `headgate certificates create` makes it")
        with open(os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, PRIVATE)) as lock:
            if not try_lock(lock.fileno()):
                raise CertificateUnusable(f"another process writes certificates in {self.path}: try again")
            yield

    def make(self) -> None:
        """Makes the folder when it is missing, for this user alone."""
        _make_private(self.path)

    def has_authority(self) -> bool:
        return self.authority_file.exists() or (self.path / AUTHORITY_KEY).exists()

    def create_authority(self, now: datetime) -> Authority:
        """Makes an authority. The key is written first: a certificate without its key could sign nothing."""
        authority = new_authority(now)
        replace_file(self.path / AUTHORITY_KEY, authority.key_pem())
        replace_file(self.authority_file, authority.pem, PUBLIC)
        return authority

    def authority(self, now: datetime) -> Authority:
        """The authority, which can sign. Raises CertificateUnusable."""
        try:
            found = read_authority(_read(self.authority_file), _read(self.path / AUTHORITY_KEY))
        except CertificateUnusable as error:
            raise CertificateUnusable(f"the authority in {self.path}: {error}") from error
        if now >= found.ends_at:
            raise CertificateUnusable(
                f"the authority in {self.path} has ended on {found.ends_at:%Y-%m-%d}: make another one in a new "
                "folder, and give its authority.pem to every service and caller"
            )
        return found

    def issue(
        self, authority: Authority, holder: Holder, hosts: tuple[str, ...], lifetime: timedelta, now: datetime
    ) -> Held:
        """Makes a certificate, in the place of the present one if there is one."""
        file = self.pair_file(holder)
        _make_private(file.parent)
        replace_file(file, authority.issue(holder, hosts, lifetime, now))
        return self.held(authority, holder)

    def renew(self, authority: Authority, now: datetime, named: Sequence[Holder] = ()) -> list[Held]:
        """Makes new certificates and keys for the same hosts and as long as before.

        They are for the named holders, or for all whose certificate ends soon or is of another authority.
        """
        present = [self.held(authority, each) for each in named or self.holders()]
        return [
            self.issue(authority, each.holder, each.certificate.hosts, each.certificate.lifetime, now)
            for each in present
            if named or not each.is_trusted or each.certificate.is_due(now)
        ]

    def holders(self) -> list[Holder]:
        """Those with a certificate in the folder: services first, each kind by name."""
        found = [holder_of(str(file.parent.relative_to(self.path))) for file in self.path.glob(f"**/{PAIR}")]
        kinds = list(Kind)
        return sorted(filter(None, found), key=lambda each: (kinds.index(each.kind), each.name))

    def held(self, authority: Authority, holder: Holder) -> Held:
        """The holder's certificate. Raises CertificateUnusable."""
        file = self.pair_file(holder)
        content = _read(file)
        try:
            return Held(holder, file, read_certificate(content), authority.has_issued(content))
        except CertificateUnusable as error:
            raise CertificateUnusable(f"{file}: {error}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateUnusable(f"{file}: {error.strerror}") from error


def _make_private(folder: Path) -> None:
    """Makes the folder, and what is missing above it."""
    if not folder.exists():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
