"""The secrets of Headgate's own tokens: how they look, and the digest by which they are known."""

import base64
import hashlib
import re
from collections.abc import Callable

PREFIX = "hgt_"
"""How each secret begins, so that scanners and Headgate's own log find one that was written down."""
SECRET_BYTES = 32
SECRET = re.compile(rf"{PREFIX}[\w-]{{43}}", re.ASCII)


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A new secret: the prefix and 256 random bits in base64url."""
    return PREFIX + base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")


def digest_of(secret: str) -> str:
    """SHA-256 of a secret. Its 256 random bits cannot be guessed, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
