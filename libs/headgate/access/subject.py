"""Who calls, as it was proven. Grants name a subject, and facts carry it as their actor."""

from dataclasses import dataclass
from enum import Enum

SERVICE_PREFIX = "spiffe://headgate/"
"""How the name of each of Headgate's own services begins. It stands as a URI in the service's certificate."""
PERSON_PREFIX = "user/"
"""What follows then for a person."""
DEVICE_PREFIX = SERVICE_PREFIX + "edge/"
"""How the name of a device at the edge begins, as its certificate has it."""
SERVICES = ("registry", "trainer", "evaluator", "deployer", "gateway", "portal")


class Kind(Enum):
    """What a subject is."""

    NOBODY = "nobody"
    PERSON = "person"
    MACHINE = "machine"
    SERVICE = "service"


class How(Enum):
    """By what a subject was proven."""

    NOTHING = "nothing"
    TOKEN = "token"
    """One of Headgate's own tokens."""
    JWT = "jwt"
    """A token that an identity provider signed."""
    CERTIFICATE = "certificate"
    """The certificate with which the caller opened its connection."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A proven caller: its name as grants spell it, what it is, and by what it was proven.

    `groups` are those that the identity provider names. A grant to a group holds for each subject in it.
    """

    name: str
    kind: Kind
    how: How
    groups: tuple[str, ...] = ()


NOBODY = Subject("", Kind.NOBODY, How.NOTHING)
"""A caller that has proven nothing."""


def service_subject(service: str) -> Subject:
    """One of Headgate's own services, such as `registry`, by its certificate."""
    return Subject(SERVICE_PREFIX + service, Kind.SERVICE, How.CERTIFICATE)


def subject_of_certificate(uris: tuple[str, ...]) -> Subject:
    """Who a verified certificate names, by the URIs in it. One without exactly one SPIFFE URI names nobody."""
    names = [uri for uri in uris if uri.startswith("spiffe://")]
    return Subject(names[0], kind_of(names[0]), How.CERTIFICATE) if len(names) == 1 else NOBODY


def kind_of(uri: str) -> Kind:
    """What a SPIFFE URI names. Only Headgate's own services have rights without a grant."""
    rest = uri.removeprefix(SERVICE_PREFIX) if uri.startswith(SERVICE_PREFIX) else ""
    if rest in SERVICES:
        return Kind.SERVICE
    return Kind.PERSON if rest.startswith(PERSON_PREFIX) else Kind.MACHINE
