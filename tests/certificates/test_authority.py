"""The authority: whom its certificates name, who takes them, and when they are due for renewal."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given
from hypothesis import strategies as st

from headgate.access.subject import SERVICE_PREFIX, How, Subject, subject_of_certificate
from headgate.access.subject import Kind as SubjectKind
from headgate.certificates.authority import (
    LIFETIME,
    Authority,
    CertificateUnusable,
    broken_host_rule,
    new_authority,
    read_authority,
    read_certificate,
)
from headgate.certificates.holder import SERVICES, Holder, Kind, holder_of, holder_of_uri

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REGISTRY = Holder(Kind.SERVICE, "registry")
ALICE = Holder(Kind.USER, "alice")

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", fullmatch=True)
HOLDERS = st.sampled_from(SERVICES).map(lambda name: Holder(Kind.SERVICE, name)) | st.builds(
    Holder, st.sampled_from([Kind.USER, Kind.EDGE]), NAMES
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority(NOW)


def issued(authority: Authority, holder: Holder = REGISTRY, hosts: tuple[str, ...] = ("registry",)) -> bytes:
    return authority.issue(holder, hosts, LIFETIME, NOW)


def policy(authority: Authority, at: datetime = NOW) -> PolicyBuilder:
    return PolicyBuilder().store(Store([authority.certificate])).time(at)


def check_server(authority: Authority, pem: bytes, host: str = "registry", at: datetime = NOW) -> None:
    """Raises VerificationError when a strict caller of `host` would not take the certificate."""
    policy(authority, at).build_server_verifier(x509.DNSName(host)).verify(x509.load_pem_x509_certificate(pem), [])


@given(HOLDERS)
def test_text_and_uri_name_the_same_holder(holder: Holder) -> None:
    assert holder_of(str(holder)) == holder
    assert holder_of_uri(holder.uri) == holder
    kinds = {Kind.SERVICE: SubjectKind.SERVICE, Kind.USER: SubjectKind.PERSON, Kind.EDGE: SubjectKind.MACHINE}
    assert subject_of_certificate((holder.uri,)) == Subject(holder.uri, kinds[holder.kind], How.CERTIFICATE)


@pytest.mark.parametrize(
    "text", ["", "nobody", "service/registry", "user/", "user/..", "user/a/b", "user/.a", "edge/a b", "user/ä", "user"]
)
def test_a_text_of_another_form_names_nobody(text: str) -> None:
    assert holder_of(text) is None
    assert holder_of_uri(SERVICE_PREFIX + text) is None


@pytest.mark.parametrize("uri", ["spiffe://elsewhere/registry", "spiffe://headgate.evil/registry", "registry"])
def test_a_uri_of_another_domain_names_nobody(uri: str) -> None:
    assert holder_of_uri(uri) is None


def test_a_strict_caller_takes_a_service_and_reads_its_name(authority: Authority) -> None:
    pem = issued(authority)
    check_server(authority, pem)
    found = read_certificate(pem)
    assert (found.holder, found.hosts) == (REGISTRY, ("registry",))
    assert (found.begins_at, found.ends_at) == (NOW - timedelta(minutes=5), NOW + LIFETIME)


def test_a_strict_server_takes_a_user_as_a_caller_and_nobody_takes_one_as_a_server(authority: Authority) -> None:
    pem = issued(authority, ALICE, ())
    policy(authority).build_client_verifier().verify(x509.load_pem_x509_certificate(pem), [])
    assert read_certificate(pem).holder == ALICE
    with pytest.raises(VerificationError):
        check_server(authority, issued(authority, ALICE, ("registry",)))


def test_nobody_takes_a_certificate_that_ended_or_is_for_another_host_or_of_another_authority(
    authority: Authority,
) -> None:
    pem = issued(authority)
    for host, at in (("registry", NOW + LIFETIME * 2), ("registry", NOW - LIFETIME), ("trainer", NOW)):
        with pytest.raises(VerificationError):
            check_server(authority, pem, host, at)
    with pytest.raises(VerificationError):
        check_server(new_authority(NOW), pem)


def test_a_holder_cannot_sign_for_others(authority: Authority) -> None:
    """The key of a service makes no certificate that anybody takes."""
    pem = issued(authority)
    thief = read_authority(pem, pem)
    forged = issued(thief, ALICE)
    assert not authority.has_issued(forged)
    verifier = policy(authority).build_client_verifier()
    with pytest.raises(VerificationError):
        verifier.verify(x509.load_pem_x509_certificate(forged), [thief.certificate])


def test_a_certificate_is_due_after_two_thirds_of_its_time(authority: Authority) -> None:
    found = read_certificate(issued(authority))
    assert not found.is_due(NOW + LIFETIME * 0.66)
    assert found.is_due(NOW + LIFETIME * 0.67)
    assert not found.has_ended(NOW + LIFETIME * 0.99)
    assert found.has_ended(NOW + LIFETIME)


def test_no_certificate_outlives_its_authority(authority: Authority) -> None:
    late = authority.ends_at - timedelta(days=1)
    assert read_certificate(authority.issue(REGISTRY, (), LIFETIME, late)).ends_at == authority.ends_at


def test_an_authority_is_read_as_it_was_written_and_only_with_its_own_key(authority: Authority) -> None:
    again = read_authority(authority.pem, authority.key_pem())
    assert again.has_issued(issued(authority))
    with pytest.raises(CertificateUnusable, match="not the one"):
        read_authority(authority.pem, new_authority(NOW).key_pem())
    with pytest.raises(CertificateUnusable, match="no certificate"):
        read_authority(b"no PEM", authority.key_pem())
    with pytest.raises(CertificateUnusable, match="key of the authority"):
        read_authority(authority.pem, b"no PEM")


@pytest.mark.parametrize("host", ["registry", "a.example.org", "10.0.0.7", "::1", "xn--bcher-kva.example", "node-1"])
def test_a_name_or_an_address_is_a_host(host: str) -> None:
    assert broken_host_rule(host) == ""


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a..b", "-", "bücher.example", "a" * 64, "1.2.3.4.5", "10.0.0.7:80", "*.example.org", "a/b", "a."],
)
def test_anything_else_is_no_host(host: str) -> None:
    assert "expected the name of a host" in broken_host_rule(host)
