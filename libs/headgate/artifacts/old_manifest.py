"""Manifests as older versions wrote them: a DSSE envelope with a payload of Headgate's own, signed with Ed25519.

None is written any more.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.artifacts.bundle import NotABundle, encoded
from headgate.artifacts.model_statement import NotAModel
from headgate.domain.names import SHA256

PAYLOAD_TYPE = "application/vnd.headgate.manifest.v1+json"
MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class Envelope:
    payload: bytes
    signatures: Sequence[tuple[str, bytes]]

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures are for."""
        return encoded(PAYLOAD_TYPE, self.payload)


def read_envelope(data: bytes) -> Envelope | None:
    """The envelope; None when the bytes are another thing. Raises NotABundle for an envelope with wrong parts."""
    try:
        parts: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parts, dict) or parts.get("payloadType") != PAYLOAD_TYPE:
        return None
    try:
        signatures = [
            (str(entry["keyid"]), base64.b64decode(entry["sig"], validate=True))
            for entry in parts["signatures"][:MAX_SIGNATURES]
        ]
        return Envelope(base64.b64decode(parts["payload"], validate=True), signatures)
    except (ValueError, KeyError, TypeError) as error:
        raise NotABundle(str(error)) from error


def read_payload(payload: bytes, sizes: Mapping[str, int]) -> tuple[str, Mapping[str, str]]:
    """The subject, and the digest of each file by name. The files must have these sizes in bytes. Raises NotAModel."""
    try:
        manifest: Any = json.loads(payload)
        subject, files = str(manifest["subject"]), {name: each["sha256"] for name, each in manifest["files"].items()}
        signed_sizes = {name: each["size"] for name, each in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotAModel(f"its content has the wrong shape ({error})") from error
    if not all(isinstance(sha256, str) and SHA256.fullmatch(sha256) for sha256 in files.values()):
        raise NotAModel("the digest of one of its files is not a SHA-256")
    if signed_sizes != sizes:
        raise NotAModel("its files are not the files in the record of the version")
    return subject, files
