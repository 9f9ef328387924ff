"""Who a certificate names."""

import pytest

from headgate.access.subject import NOBODY, How, Kind, Subject, service_subject, subject_of_certificate


def test_a_certificate_names_the_service_of_its_spiffe_uri() -> None:
    found = subject_of_certificate(("https://example.com", "spiffe://headgate/trainer"))
    assert found == service_subject("trainer")


def test_a_certificate_of_another_trust_domain_names_a_machine_that_needs_grants() -> None:
    found = subject_of_certificate(("spiffe://headgate.example.com/registry",))
    assert found == Subject("spiffe://headgate.example.com/registry", Kind.MACHINE, How.CERTIFICATE)


def test_a_certificate_of_a_person_or_a_device_gives_no_rights_of_a_service() -> None:
    kinds = {name: subject_of_certificate((f"spiffe://headgate/{name}",)).kind for name in NAMES}
    assert kinds == NAMES


NAMES = {
    "registry": Kind.SERVICE,
    "user/alice": Kind.PERSON,
    "edge/press-4": Kind.MACHINE,
    "registry/more": Kind.MACHINE,
    "": Kind.MACHINE,
}


@pytest.mark.parametrize(
    "uris", [(), ("https://headgate/trainer",), ("spiffe://headgate/trainer", "spiffe://headgate/registry")]
)
def test_a_certificate_without_exactly_one_spiffe_uri_names_nobody(uris: tuple[str, ...]) -> None:
    assert subject_of_certificate(uris) == NOBODY


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("spiffe://headgate/user/ada", Kind.PERSON),
        ("spiffe://headgate/edge/press-4", Kind.MACHINE),
        ("spiffe://headgate/", Kind.MACHINE),
        ("spiffe://headgate/registry/more", Kind.MACHINE),
    ],
)
def test_a_certificate_of_a_person_or_a_device_names_no_service(uri: str, kind: Kind) -> None:
    assert subject_of_certificate((uri,)) == Subject(uri, kind, How.CERTIFICATE)
