"""The public keys of an identity provider: a JWKS from a file or a URL, kept for a bounded time."""

import http.client
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt

from headgate.runtime.authentication.proof import NotProven
from headgate.runtime.no_redirect import NoRedirect

REFRESH_SECONDS = 300.0
"""After this time the keys are read again."""
RETRY_SECONDS = 10.0
"""How often at most keys are read, whatever key ids callers send."""
MAX_AGE_SECONDS = 86_400.0
"""How long keys count while the provider does not answer."""
READ_SECONDS = 5.0
MAX_BYTES = 1 << 20
MAX_KEYS = 100
MIN_RSA_BITS = 2_048
ALGORITHMS: Mapping[tuple[str, str], str] = {
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""The one algorithm of each kind of key. A token cannot choose another one."""

logger = logging.getLogger(__name__)


class KeysUnusable(Exception):
    """The source has no keys that can be used. The message says why."""


class SigningKeys:
    """The keys by their id. Thread-safe: one thread reads while the others use what is there."""

    def __init__(
        self,
        source: str,
        monotonic: Callable[[], float] = time.monotonic,
        read: "Callable[[str], bytes] | None" = None,
    ) -> None:
        self._source, self._monotonic, self._read = source, monotonic, read or read_source
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = threading.Lock()
        self._text = b""
        self._generation = 0

    def generation(self) -> int:
        """Another number once the keys are other ones. Raises NotProven when they are too old."""
        now = self._monotonic()
        if now - self._read_at > REFRESH_SECONDS:
            self._refresh(now)
            if now - self._read_at > MAX_AGE_SECONDS:
                raise NotProven("keys-too-old")
        return self._generation

    def present(self) -> int:
        """The same without a wait: keys that are due are read meanwhile, in a thread of their own."""
        now = self._monotonic()
        age_seconds = now - self._read_at
        if age_seconds > MAX_AGE_SECONDS:
            raise NotProven("keys-too-old")
        if age_seconds > REFRESH_SECONDS and self._begins(now):
            threading.Thread(target=self._read_keys, name="signing-keys", daemon=True).start()
        return self._generation

    def key(self, key_id: str) -> jwt.PyJWK:
        """The key with this id. Raises NotProven when there is none, and when all of them are too old."""
        self.generation()
        if key_id not in self._keys:
            self._refresh(self._monotonic())
        found = self._keys.get(key_id)
        if found is None:
            raise NotProven("unknown-key")
        return found

    def _refresh(self, now: float) -> None:
        """Reads the keys unless they were tried just now. A failure leaves those that are there."""
        if self._begins(now):
            self._read_keys()

    def _begins(self, now: float) -> bool:
        """Whether the keys are to be read now, by whoever asks. `_read_keys` ends it."""
        if now - self._tried_at < RETRY_SECONDS or not self._reading.acquire(blocking=False):
            return False
        self._tried_at = now
        return True

    def _read_keys(self) -> None:
        try:
            text = self._read(self._source)
            if text != self._text:
                self._keys, self._text = parse_keys(text), text
                self._generation += 1
            self._read_at = self._monotonic()
        except (KeysUnusable, OSError, http.client.HTTPException) as error:
            logger.warning("the keys of the identity provider cannot be read", extra={"why": str(error)})
        finally:
            self._reading.release()


def read_source(source: str) -> bytes:
    """The bytes of a file, or of a URL, which leads nowhere else. Raises KeysUnusable and OSError."""
    if "://" not in source:
        with Path(source).open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    else:
        opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
        with opener.open(source, timeout=READ_SECONDS) as answer:
            found = answer.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise KeysUnusable(f"{source} has more than {MAX_BYTES} bytes")
    return bytes(found)


def parse_keys(text: bytes) -> dict[str, jwt.PyJWK]:
    """The usable signing keys of a JWKS. Others, symmetric ones among them, are left out. Raises KeysUnusable."""
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeysUnusable(f"it is no JWKS: {error}") from error
    found = [key for key in map(_usable, listed[:MAX_KEYS]) if key] if isinstance(listed, list) else []
    if not found:
        raise KeysUnusable("it has no signing key of RSA, P-256 or Ed25519 with a key id")
    return {str(key.key_id): key for key in found}


def _usable(values: Any) -> jwt.PyJWK | None:
    if not isinstance(values, dict) or values.get("use", "sig") != "sig" or not isinstance(values.get("kid"), str):
        return None
    kind = str(values.get("kty"))
    algorithm = ALGORITHMS.get((kind, "" if kind == "RSA" else str(values.get("crv"))))
    if algorithm is None or values.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(values, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if kind != "RSA" or key.key.key_size >= MIN_RSA_BITS else None
