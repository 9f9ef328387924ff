"""Ed25519 keys on disk. The trainer signs with signing.key.

A gateway serves only artifacts that a key in trusted/*.pub has signed.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

NO_SIGNING_KEY = "`headgate keys create FOLDER` makes one; HEADGATE_KEYS names the folder"
NO_PUBLIC_KEY = "put the .pub file that `headgate keys create` has made in its place, or remove it"

TrustedKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by key id."""


class KeyUnusable(Exception):
    """A key file is missing, or does not hold an Ed25519 key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    key_id: str
    private: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)


def new_signing_key() -> SigningKey:
    return named(Ed25519PrivateKey.generate())


def trust(*keys: SigningKey) -> TrustedKeys:
    return {key.key_id: key.private.public_key() for key in keys}


def create_keys(directory: Path) -> SigningKey:
    """Creates the key pair unless it exists. Several processes may call it at the same time."""
    trusted = directory / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create_once(directory / "signing.key", pem, 0o600)
    key = load_signing_key(directory)
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    create_once(trusted / f"{key.key_id}.pub", public, 0o644)
    return key


def load_signing_key(directory: Path) -> SigningKey:
    file = directory / "signing.key"
    try:
        private = load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise KeyUnusable(f"{file}: there is no signing key: {NO_SIGNING_KEY}") from error
    except OSError as error:
        raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise KeyUnusable(f"{file} is no signing key ({error}): restore it; {NO_SIGNING_KEY}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnusable(f"{file} is no Ed25519 key: restore it; {NO_SIGNING_KEY}")
    return named(private)


def load_trusted(directory: Path) -> TrustedKeys:
    keys: dict[str, Ed25519PublicKey] = {}
    for file in sorted((directory / "trusted").glob("*.pub")):
        try:
            public = load_pem_public_key(file.read_bytes())
        except OSError as error:
            raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise KeyUnusable(f"{file} is no public key ({error}): {NO_PUBLIC_KEY}") from error
        if not isinstance(public, Ed25519PublicKey):
            raise KeyUnusable(f"{file} is no Ed25519 key: {NO_PUBLIC_KEY}")
        keys[key_id(public)] = public
    return keys


def has_signed(trusted: TrustedKeys, key_id: str, signature: bytes, data: bytes) -> bool:
    """Whether the key is trusted and has made this signature for these bytes."""
    if key_id not in trusted:
        return False
    try:
        trusted[key_id].verify(signature, data)
    except InvalidSignature:
        return False
    return True


def named(private: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(key_id(private.public_key()), private)


def key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def create_once(file: Path, data: bytes, mode: int) -> None:
    # Written to another name and then linked. So a reader sees the whole file or none, and the first writer wins.
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
