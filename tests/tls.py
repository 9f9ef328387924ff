"""Certificates for tests: an authority, and certificates for 127.0.0.1 that it has signed."""

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headgate.client.tls import ClientTls
from headgate.runtime.tls import TlsFiles
from tests.waiting import PATIENCE_SECONDS

VALID = timedelta(days=1)
ESTABLISHED, CLOSE_WAIT = "01", "08"


@dataclass(frozen=True)
class Authority:
    """A certificate authority. A client that gets `file` trusts it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    @classmethod
    def new(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(name, key, name, key, is_authority=True)
        file = folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate, file)

    def server_store(self, folder: Path) -> Path:
        """A PEM file with a server's key and its certificate."""
        secret, certificate = self._issued("127.0.0.1")
        file = folder / "server.pem"
        file.write_bytes(secret + certificate)
        return file

    def issue(self, name: str, certificate_file: Path, key_file: Path, uri: str = "") -> None:
        """Writes a certificate for the name `name` and the URI, and its key."""
        secret, certificate = self._issued(name, uri)
        certificate_file.write_bytes(certificate)
        key_file.write_bytes(secret)

    def _issued(self, name: str, uri: str = "") -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        signer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        certificate = _signed(name, key, str(signer), self.key, is_authority=False, uri=uri)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return secret, certificate.public_bytes(serialization.Encoding.PEM)


def tls_files(authority: Authority, folder: Path, client_ca: bool = False) -> TlsFiles:
    """The files of a server on 127.0.0.1; with `client_ca` its callers need a certificate of the same authority."""
    files = TlsFiles(folder / "tls.pem", folder / "tls.key", folder / "client-ca.pem" if client_ca else None)
    if files.client_ca:
        files.client_ca.write_bytes(authority.file.read_bytes())
    authority.issue("127.0.0.1", files.certificate, files.key)
    return files


def replace_files(authority: Authority, files: TlsFiles) -> None:
    """Puts another certificate in the place of the present one, as one who renews it does."""
    new = files.certificate.with_suffix(".new"), files.key.with_suffix(".new-key")
    authority.issue("127.0.0.1", *new)
    for path, place in zip(new, (files.certificate, files.key), strict=True):
        path.replace(place)


def caller_of(authority: Authority, folder: Path, certificate: bool = False, uri: str = "") -> ClientTls:
    """A caller that trusts the authority, and with `certificate` has one of its own, which may name it by a URI."""
    if not certificate:
        return ClientTls(authority.file)
    caller = ClientTls(authority.file, folder / "caller.pem", folder / "caller.key")
    assert caller.certificate is not None
    assert caller.key is not None
    authority.issue("caller", caller.certificate, caller.key, uri)
    return caller


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: str,
    signers_key: ec.EllipticCurvePrivateKey,
    is_authority: bool,
    uri: str = "",
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, signer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        names: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]
        names += [x509.UniformResourceIdentifier(uri)] if uri else []
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signers_key, hashes.SHA256())


def abandon_handshakes(port: int, count: int) -> None:
    """Callers that begin to agree on TLS and go away, up to 100 at the same time."""
    begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50)
    for _ in range(count // 100):
        callers = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in range(100)]
        for caller in callers:
            caller.sendall(begun)
        for caller in callers:
            caller.close()


def memory_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held_connections(port: int) -> int:
    """How many connections the server at this port of the loopback holds, those that their callers ended among them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[1].rpartition(":")[2], 16) == port and row[3] in (ESTABLISHED, CLOSE_WAIT) for row in rows)
