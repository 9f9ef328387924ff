"""The form of a server's address: host:port. Pure."""

import re

MAX_PORT = 65_535
ADDRESS_RULE = f"expected host:port with a port from 1 to {MAX_PORT}, for example 127.0.0.1:7400"

_ADDRESS = re.compile(r"(?P<host>\S+):(?P<port>[0-9]{1,5})")


def is_address(text: str) -> bool:
    """Whether the text is host:port with a port that exists.

    Libraries for networks take a larger port modulo 65,536, and so reach another server than the one that was named.
    """
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found["port"]) <= MAX_PORT
