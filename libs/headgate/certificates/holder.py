"""Whom a certificate names: a service, a person or a device. A URI in the certificate says so."""

from dataclasses import dataclass
from enum import StrEnum

from headgate.access.subject import PERSON_PREFIX, SERVICE_PREFIX, SERVICES
from headgate.domain.names import is_replica_name

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HOLDER_RULE = (
    f"expected one of {', '.join(SERVICES)}, or user/NAME or edge/DEVICE, where a name has 1 to 253 characters of "
    "a-z, A-Z, 0-9, ., - and _, and starts with a letter or digit"
)


class Kind(StrEnum):
    SERVICE = "service"
    USER = PERSON_PREFIX.rstrip("/")
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who shows a certificate."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        """As people write it: `registry`, `user/alice`, `edge/press-4`."""
        return self.name if self.kind is Kind.SERVICE else f"{self.kind}/{self.name}"

    @property
    def uri(self) -> str:
        """The name in the certificate, in the form of SPIFFE: `spiffe://headgate/user/alice`."""
        return f"{SERVICE_PREFIX}{self}"

    @property
    def listens(self) -> bool:
        """Whether others call it, so that its certificate also names hosts."""
        return self.kind is not Kind.USER

    def hosts(self, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The hosts by which callers reach it: its own machine, a service's own name, and `more`."""
        if not self.listens:
            return ()
        own = (self.name,) if self.kind is Kind.SERVICE else ()
        return tuple(dict.fromkeys((*own, *LOOPBACK, *more)))


def holder_of(text: str) -> Holder | None:
    """The holder of this form; None for a text of another form."""
    kind, slash, name = text.partition("/")
    if not slash:
        return Holder(Kind.SERVICE, text) if text in SERVICES else None
    if kind not in (Kind.USER, Kind.EDGE) or not is_replica_name(name):
        return None
    return Holder(Kind(kind), name)


def holder_of_uri(uri: str) -> Holder | None:
    """The holder that a certificate names by this URI; None for a URI of others."""
    return holder_of(uri.removeprefix(SERVICE_PREFIX)) if uri.startswith(SERVICE_PREFIX) else None
