"""The trainer's own Ed25519 key. It signs the checkpoints of trainings, and no artifact."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from headgate.artifacts.key_files import KeyUnusable, create_once
from headgate.artifacts.private_key_file import private_key

FILE = Path("trainer/checkpoints.key")
"""In the folder of the keys. The folder `trainer` is all that a trainer gets of it."""
KEY_ID_BYTES = 32
SIGNATURE_BYTES = 64
ADVICE = "`headgate keys create FOLDER` makes one; HEADGATE_KEYS names the folder"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    key_id: str
    private: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)

    def has_signed(self, key_id: str, signature: bytes, data: bytes) -> bool:
        """Whether this key has made the signature for these bytes."""
        try:
            self.private.public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return key_id == self.key_id


def new_checkpoint_key() -> CheckpointKey:
    return _named(Ed25519PrivateKey.generate())


def create_checkpoint_key(directory: Path) -> None:
    """Creates the key unless it exists."""
    (directory / FILE).parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create_once(directory / FILE, pem, 0o600)


def adopt_as_checkpoint_key(directory: Path, old: Path) -> None:
    """Moves a file with an Ed25519 key into the place of the checkpoints' key. Any other file stays where it is."""
    try:
        if not isinstance(load_pem_private_key(old.read_bytes(), password=None), Ed25519PrivateKey):
            return
    except (OSError, ValueError, TypeError):
        return  # whoever loads it says what is wrong
    new = directory / FILE
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except FileExistsError:
        if not new.samefile(old):
            return
    old.unlink(missing_ok=True)


def load_checkpoint_key(directory: Path) -> CheckpointKey:
    """Raises KeyUnusable."""
    file = directory / FILE
    private = private_key(file, "key for checkpoints", "private key", ADVICE)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnusable(f"{file} is no Ed25519 key: restore it; {ADVICE}")
    return _named(private)


def _named(private: Ed25519PrivateKey) -> CheckpointKey:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return CheckpointKey(hashlib.sha256(raw).hexdigest()[:KEY_ID_BYTES], private)
