"""The stored form of a wrapped data key: a small object of its own, so that rotation rewrites it and no data. Pure."""

import base64
import json

from headgate.artifacts.blobs import RESTORE, ArtifactCorrupt
from headgate.artifacts.encryption.key_encryption import Wrapped

FOLDER = "data-keys"
MAX_BYTES = 16 << 10
"""The largest record that is read."""


def path(data_key: str) -> str:
    """The name of the object with the data key of this id."""
    return f"{FOLDER}/{data_key[:2]}/{data_key}"


def encode(name: str, wrapped: Wrapped) -> bytes:
    """`name` is the object that the data key encrypts."""
    content = base64.b64encode(wrapped.content).decode()
    return json.dumps({"name": name, "wrapped_by": wrapped.key_id, "wrapped": content}).encode()


def decode(record: bytes) -> tuple[str, Wrapped]:
    """The object's name and its wrapped key. Raises ArtifactCorrupt."""
    try:
        if len(record) > MAX_BYTES:
            raise ValueError("it is too large")
        found = json.loads(record)
        name, key_id, content = str(found["name"]), str(found["wrapped_by"]), found["wrapped"]
        return name, Wrapped(key_id, base64.b64decode(content, validate=True))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactCorrupt(f"its data key cannot be read ({type(error).__name__}): {RESTORE}") from error
