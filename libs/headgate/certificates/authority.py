"""A certificate authority: makes and reads certificates. It knows no files, and the time comes in as an argument.

Keys are ECDSA on P-256, which every client of TLS 1.3 takes. The form of certificates is that of RFC 5280, and the URI
in them that of SPIFFE's X.509-SVID.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headgate.certificates.holder import Holder, holder_of_uri

AUTHORITY_LIFETIME = timedelta(days=3_650)
LIFETIME = timedelta(days=30)
"""How long a certificate holds unless its maker says otherwise. There is no list of revoked ones: they end soon."""
SKEW = timedelta(minutes=5)
"""A certificate holds from so long before it was made: the clocks of its readers may be behind."""
DUE_SHARE = 2 / 3
"""A certificate is due for renewal after this share of its time."""
MAX_COMMON_NAME = 64

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)({_LABEL}\.)*(?![0-9]+\Z){_LABEL}")


class CertificateUnusable(Exception):
    """What was read is not what it should be. The message says what is wrong, and of which text."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    holder: Holder | None
    uris: tuple[str, ...]
    hosts: tuple[str, ...]
    begins_at: datetime
    ends_at: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.ends_at - self.begins_at - SKEW

    def is_due(self, now: datetime) -> bool:
        """Whether it should be renewed."""
        return now >= self.begins_at + SKEW + self.lifetime * DUE_SHARE

    def has_ended(self, now: datetime) -> bool:
        return now >= self.ends_at


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate that all trust, and the key that signs others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def ends_at(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def key_pem(self) -> bytes:
        return _key_pem(self.key)

    def issue(self, holder: Holder, hosts: Sequence[str], lifetime: timedelta, now: datetime) -> bytes:
        """A new key and its certificate as one PEM. It ends with the authority at the latest."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(str(holder)[:MAX_COMMON_NAME]), self.certificate.subject, key.public_key(), now)
            .not_valid_after(min(now + lifetime, self.ends_at))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_purposes(holder)), critical=False)
            .add_extension(_names(holder, hosts), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        return _key_pem(key) + builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def has_issued(self, pem: bytes) -> bool:
        """Whether the certificate in the PEM is one of this authority. Raises CertificateUnusable."""
        try:
            _loaded(pem).verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def new_authority(now: datetime) -> Authority:
    """An authority with a key of its own. It signs certificates of holders, and no authority below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial in the name tells two authorities apart, for people and for clients that trust both.
    serial = x509.random_serial_number()
    name = _name(f"Headgate authority {serial % 2**32:08x}")
    builder = (
        _builder(name, name, key.public_key(), now)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, SHA256()), key)


def read_authority(certificate_pem: bytes, key_pem: bytes) -> Authority:
    """The authority of these two texts. Raises CertificateUnusable."""
    certificate = _loaded(certificate_pem)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateUnusable(f"the key of the authority: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateUnusable("the key is not the one of the authority's certificate")
    return Authority(certificate, key)


def read_certificate(pem: bytes) -> Certificate:
    """What the first certificate of the PEM says. Raises CertificateUnusable."""
    found = _loaded(pem)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    except ValueError as error:
        raise CertificateUnusable(f"the names of the certificate: {error}") from error
    uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    addresses = names.get_values_for_type(x509.IPAddress)
    hosts = (*names.get_values_for_type(x509.DNSName), *map(str, addresses))
    holder = holder_of_uri(uris[0]) if len(uris) == 1 else None
    return Certificate(holder, uris, hosts, found.not_valid_before_utc, found.not_valid_after_utc)


def has_ended(pem: bytes, now: datetime) -> str:
    """That the certificate in the PEM holds no longer, in words; empty while it holds, or when it cannot be read."""
    try:
        found = read_certificate(pem)
    except CertificateUnusable:
        return ""
    return f"the certificate has ended on {found.ends_at:%Y-%m-%d %H:%M:%S} UTC" if found.has_ended(now) else ""


def broken_host_rule(host: str) -> str:
    """What a host must be that a certificate names; empty when it is."""
    try:
        _general_name(host)
    except ValueError:
        return "expected the name of a host or an IP address, such as registry.example.org or 10.0.0.7"
    return ""


def _builder(
    name: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _names(holder: Holder, hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(holder.uri), *map(_general_name, hosts)])


def _general_name(host: str) -> x509.GeneralName:
    """Raises ValueError for what is no host."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise
        return x509.DNSName(host)


def _purposes(holder: Holder) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if holder.listens else []
    return [*server, ExtendedKeyUsageOID.CLIENT_AUTH]


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _loaded(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateUnusable("this holds no certificate in PEM") from error
