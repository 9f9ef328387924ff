"""The form of a server's address: host:port, or a URL. Pure."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

MAX_PORT = 65_535
ADDRESS_RULE = f"expected host:port with a port from 1 to {MAX_PORT}, for example 127.0.0.1:7400"
PORT_RULE = f"a port is from 1 to {MAX_PORT}"
HOST_RULE = "expected the name or the address of a host, without a port; an IPv6 address stands in brackets"

_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/@,\[\]]+)"
_ADDRESS = re.compile(rf"(?:dns:///)?{_HOST}:(?P<port>[0-9]{{1,5}})")


def is_address(text: str) -> bool:
    """Whether the text is host:port with a port that exists.

    Libraries for networks take a larger port modulo 65,536, and so reach another server than the one that was named.
    """
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found["port"]) <= MAX_PORT


def is_host(text: str) -> bool:
    """Whether the text is a host alone, to which a port can be added."""
    return re.fullmatch(_HOST, text) is not None


def is_loopback(host: str) -> bool:
    """Whether only programs of the same machine reach a port that listens there."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def has_real_port(url: str) -> bool:
    """Whether the URL has a port from 1 to 65535, or none."""
    try:
        return urlsplit(url).port != 0
    except ValueError:  # the port is too large, or no number
        return False


def is_loopback_url(url: str) -> bool:
    """Whether the URL names a server of this machine, which is reached over plain HTTP."""
    return is_web_address(url) and urlsplit(url).scheme == "http" and is_loopback(urlsplit(url).hostname or "")


def keeps_secrets(url: str) -> bool:
    """Whether nobody on the way to the URL's server reads what is sent: by https, or on this machine alone."""
    return url.startswith("https://") or is_loopback_url(url)


def is_web_address(url: str) -> bool:
    """Whether the URL names a server that is reached over HTTP, by a port that exists."""
    return has_real_port(url) and urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
