"""Reads the operator's file of credentials: a URL with a user name and a password in each line, as git stores them.

For a bucket the user name is the id of the key, or the account, and the password is the secret.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headgate.downloads.faults import Refused
from headgate.downloads.places import PORTS

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str

    def basic(self) -> str:
        """The value of the header Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def credentials_of(file: str, scheme: str, host: str) -> Credentials | None:
    """The credentials for a host or a bucket; None when the file has none, or when there is no file.

    The file is read anew each time, so a new secret needs no restart. Raises Refused when it cannot be read.
    """
    if not file:
        return None
    try:
        with Path(file).open("rb") as content:
            lines = content.read(MAX_BYTES).decode(errors="replace").splitlines()
    except OSError as error:
        raise Refused(f"the trainer cannot read its file of credentials: {error.strerror}") from error
    return next(filter(None, (_credentials_in(line.strip(), scheme, host) for line in lines)), None)


def _credentials_in(line: str, scheme: str, host: str) -> Credentials | None:
    try:
        parts = urlsplit(line)
    except ValueError:
        return None
    user, at, place = parts.netloc.rpartition("@")
    place = place if scheme not in PORTS else place.lower().removesuffix(f":{PORTS[scheme]}")
    if not at or (parts.scheme, place) != (scheme, host):
        return None
    name, _, password = user.partition(":")
    return Credentials(unquote(name), unquote(password))
