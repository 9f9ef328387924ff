"""Connects to a host by name, but never to an address that only the machine itself should reach.

Clouds give their machines credentials under such addresses. The address is checked that is then connected to, so a name
that answers another address the second time gains nothing.
"""

import ipaddress
import socket
from collections.abc import Iterable

from headgate.downloads.faults import Interrupted, Refused

CONNECT_SECONDS = 10.0
METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Services of clouds for their own machines. Most others have link-local addresses."""


def connected(host: str, port: int) -> socket.socket:
    """A connection to the host. Raises Refused for an address that must not be reached, and Interrupted."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Interrupted(f"the host {host} is not known: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not is_literal(host):
        refuse_special(host, addresses)
    fault: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), CONNECT_SECONDS)
        except OSError as error:
            fault = error
    raise Interrupted(f"{host}:{port} cannot be reached: {fault}")


def refuse_special(host: str, addresses: Iterable[str]) -> None:
    """Raises Refused when one of the host's addresses is for the machine alone."""
    for address in addresses:
        if is_special(address):
            raise Refused(
                f"{host} has the address {address}, under which clouds give credentials to their own machines;"
                " it is used only where the operator's list names this address itself"
            )


def is_special(address: str) -> bool:
    """Whether this is a link-local address or one of METADATA, also inside an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None) or found
    return any(each.is_link_local or each.is_multicast or each in METADATA for each in (found, inner))


def is_literal(host: str) -> bool:
    """Whether the host is written as an address. The operator's list then names it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
