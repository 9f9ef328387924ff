"""A key-encryption key in the transit engine of Vault, or of OpenBao. The key never leaves the server.

The server keeps the versions of a key, and rewraps by itself, so a rotation here never sees a data key. Only the
ciphertext of the object is bound to its name: Vault takes no associated data when it rewraps.
Source: the API of Vault's transit secrets engine.
"""

import base64
import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from headgate.artifacts.blobs import RESTORE, ArtifactCorrupt
from headgate.artifacts.encryption.key_encryption import NEXT_STEPS, KeyUnavailable, Wrapped
from headgate.domain.printable import printable

REQUEST_SECONDS = 10.0
MAX_ANSWER_BYTES = 1 << 20
MAX_TOKEN_BYTES = 16 << 10
MAX_SHOWN_CHARACTERS = 200
NOT_WRAPPED_BY_IT = "authentication failed"
"""What Vault says of a ciphertext that its key has not made."""


@dataclass(frozen=True, slots=True)
class VaultTransit:
    """Thread-safe. `mount` is the path of the transit engine. The token is read for each call, so it can be renewed."""

    server: str
    """https://HOST:PORT, or http on the loopback."""
    mount: str
    key: str
    token_file: Path

    def key_id(self) -> str:
        found = self._call("GET", f"keys/{quote(self.key)}")
        return self._named(f"v{found['latest_version']}")

    def wrap(self, data_key: bytes, name: str) -> Wrapped:
        sent = {"plaintext": base64.b64encode(data_key).decode()}
        return self._wrapped(self._call("POST", f"encrypt/{quote(self.key)}", sent))

    def unwrap(self, wrapped: Wrapped, name: str) -> bytes:
        self._require_own(wrapped, name)
        found = self._call("POST", f"decrypt/{quote(self.key)}", {"ciphertext": _text(wrapped)}, wrapped, name)
        return base64.b64decode(found["plaintext"])

    def rewrap(self, wrapped: Wrapped, name: str) -> Wrapped:
        self._require_own(wrapped, name)
        sent = {"ciphertext": _text(wrapped)}
        return self._wrapped(self._call("POST", f"rewrap/{quote(self.key)}", sent, wrapped, name))

    def rotate(self) -> str:
        self._call("POST", f"keys/{quote(self.key)}/rotate", {})
        return self.key_id()

    def _wrapped(self, found: dict[str, Any]) -> Wrapped:
        text = str(found["ciphertext"])
        return Wrapped(self._named(text.split(":")[1]), text.encode())

    def _named(self, version: str) -> str:
        return f"vault-{self.mount}/{self.key}-{version}"

    def _require_own(self, wrapped: Wrapped, name: str) -> None:
        if not wrapped.key_id.startswith(self._named("v")):
            shown = printable(wrapped.key_id)[:MAX_SHOWN_CHARACTERS]
            rule = f"{name} is encrypted under the key {shown}, and HEADGATE_ENCRYPTION_KEY names {self._named('v*')}"
            raise KeyUnavailable(f"{rule}: {NEXT_STEPS}")

    def _call(
        self, method: str, path: str, sent: object = None, wrapped: Wrapped | None = None, name: str = ""
    ) -> dict[str, Any]:
        """The `data` of the answer. Raises KeyUnavailable and ArtifactCorrupt."""
        try:
            status, answer = self._exchange(method, f"/v1/{quote(self.mount)}/{path}", sent)
            if status < http.client.BAD_REQUEST:
                data: dict[str, Any] = json.loads(answer or b"{}").get("data") or {}
                return data
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            reason = printable(str(error) or type(error).__name__)[:MAX_SHOWN_CHARACTERS]
            raise KeyUnavailable(f"Vault at {self.server} does not answer for {self._named('v*')}: {reason}") from error
        reason = printable(answer.decode(errors="replace"))[:MAX_SHOWN_CHARACTERS]
        if wrapped and status == http.client.BAD_REQUEST and NOT_WRAPPED_BY_IT in reason:
            raise ArtifactCorrupt(f"the key {wrapped.key_id} has not wrapped the data key of {name}: {RESTORE}")
        which = wrapped.key_id if wrapped else self._named("v*")
        rule = f"Vault at {self.server} refuses {method} {path.split('/')[0]} for the key {which} ({status}: {reason})"
        raise KeyUnavailable(f"{rule}: check the token in {self.token_file} and its policy")

    def _exchange(self, method: str, path: str, sent: object) -> tuple[int, bytes]:
        address = urlsplit(self.server)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=REQUEST_SECONDS)  # follows no redirect
        try:
            body = None if sent is None else json.dumps(sent).encode()
            connection.request(method, path, body, {"X-Vault-Token": self._token(), "X-Vault-Request": "true"})
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()

    def _token(self) -> str:
        with open(self.token_file, "rb") as content:
            token = content.read(MAX_TOKEN_BYTES).decode().strip()
        if not token or not token.isprintable():
            raise ValueError(f"{self.token_file} holds no token")
        return token


def _text(wrapped: Wrapped) -> str:
    return wrapped.content.decode(errors="replace")
