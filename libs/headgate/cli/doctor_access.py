"""What `headgate doctor` finds about who may call: the token of this command, and the certificates of `headgate up`."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from headgate.certificates.authority import CertificateUnusable
from headgate.certificates.folder import CertificateFolder
from headgate.cli.own_certificates import CERTIFICATES
from headgate.client.recognition import recognition
from headgate.client.stubs import Stubs
from headgate.runtime.clock import utc_now


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    well: bool
    detail: str


def access_findings(stubs: Stubs) -> list[Finding]:
    """Whether the registry asks who calls, and takes this command's token; none when it does not answer."""
    with Stubs(stubs.registry_address, "", tls=stubs.tls) as nobody:
        known, unknown = recognition(stubs), recognition(nobody)
    if known is grpc.StatusCode.UNAUTHENTICATED:
        needed = "has ended or was revoked" if stubs.token else "is missing: see docs/operators/access.md"
        return [Finding("access", False, f"the token {needed}")]
    if unknown is grpc.StatusCode.OK:
        return [
            Finding("access", True, "the registry asks nobody who calls; HEADGATE_AUTHENTICATION=true changes that")
        ]
    return [Finding("access", True, "the registry knows this caller")] if known is grpc.StatusCode.OK else []


def certificate_findings(home: Path) -> list[Finding]:
    """One finding for each certificate that callers refuse; one in all when none is; none without certificates."""
    folder, now = CertificateFolder(home / CERTIFICATES), utc_now()
    if not folder.has_authority():
        return []
    try:
        authority = folder.authority(now)
        held = [folder.held(authority, each) for each in folder.holders()]
    except CertificateUnusable as error:
        return [Finding("certificates", False, str(error))]
    wrong = [
        Finding(f"certificate of {each.holder}", False, "it has ended" if each.is_trusted else "of another authority")
        for each in held
        if not each.is_trusted or each.certificate.has_ended(now)
    ]
    first = min((each.certificate.ends_at for each in held), default=authority.ends_at)
    return wrong or [Finding("certificates", True, f"{folder.path}; the first ends on {first:%Y-%m-%d}")]
