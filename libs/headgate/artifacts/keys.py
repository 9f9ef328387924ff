"""The ECDSA keys that sign artifacts, as files, and the public keys that are trusted.

The registry signs with registry/signing.key. Whoever verifies has trusted/ID.pub, and trusted/trust.toml where a key
has bounds.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from headgate.artifacts.checkpoint_keys import adopt_as_checkpoint_key, create_checkpoint_key
from headgate.artifacts.key_files import KeyUnusable, create_once
from headgate.artifacts.private_key_file import private_key
from headgate.artifacts.trust_file import NO_BOUNDS, TRUST_FILE, Bounds, read_bounds

SIGNING_KEY, TRUSTED = Path("registry/signing.key"), "trusted"
"""In the folder of the keys. The folder `registry` is what a registry gets of it, and nobody else."""
OLD_SIGNING_KEY = "signing.key"
NO_SIGNING_KEY = "`headgate keys create FOLDER` makes one; HEADGATE_KEYS names the folder"
NO_PUBLIC_KEY = "put the .pub file that `headgate keys create` has made in its place, or remove it"
ECDSA = ec.ECDSA(SHA256(), deterministic_signing=True)
"""The same bytes get the same signature, so an artifact that is signed twice has one manifest."""

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey
"""Of a key that signs today, or of one that signed before the manifests had the form of OpenSSF Model Signing."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    key_id: str
    private: ec.EllipticCurvePrivateKey

    def sign(self, data: bytes) -> bytes:
        """The signature of ECDSA in DER."""
        return self.private.sign(data, ECDSA)

    @property
    def public_pem(self) -> bytes:
        return pem_of(self.private.public_key())


@dataclass(frozen=True, slots=True)
class TrustedKey:
    public: PublicKey
    bounds: Bounds = NO_BOUNDS

    @property
    def algorithm(self) -> str:
        return "Ed25519" if isinstance(self.public, Ed25519PublicKey) else "ECDSA P-256"

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """Whether this key has made the signature for these bytes. It asks nothing of the bounds."""
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(signature, data)
            else:
                self.public.verify(signature, data, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


TrustedKeys = Mapping[str, TrustedKey]
"""Public keys by key id."""


def new_signing_key() -> SigningKey:
    return named(ec.generate_private_key(ec.SECP256R1()))


def trust(*keys: SigningKey) -> TrustedKeys:
    return {key.key_id: TrustedKey(key.private.public_key()) for key in keys}


def create_keys(directory: Path) -> SigningKey:
    """Creates what is missing: the signing key with its public key, and the trainer's key for checkpoints.

    A signing key of an older version, which is Ed25519, becomes the key for checkpoints. It stays among the trusted
    keys, so what it has signed stays trusted. Several processes may call it at the same time.
    """
    (directory / TRUSTED).mkdir(parents=True, exist_ok=True)
    (directory / SIGNING_KEY).parent.mkdir(exist_ok=True)
    adopt_as_checkpoint_key(directory, directory / OLD_SIGNING_KEY)
    create_checkpoint_key(directory)
    create_once(directory / SIGNING_KEY, private_pem(new_signing_key()), 0o600)
    key = load_signing_key(directory)
    create_once(directory / TRUSTED / f"{key.key_id}.pub", key.public_pem, 0o644)
    return key


def load_signing_key(directory: Path) -> SigningKey:
    """Raises KeyUnusable."""
    file = directory / SIGNING_KEY
    private = private_key(file, "signing key", "signing key", NO_SIGNING_KEY)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != ec.SECP256R1.name:
        raise KeyUnusable(f"{file} is no key on the curve P-256: restore it; {NO_SIGNING_KEY}")
    return named(private)


def load_trusted(directory: Path) -> TrustedKeys:
    """The trusted keys of this directory, with their bounds. Raises KeyUnusable."""
    folder = directory / TRUSTED
    public = dict(_public_keys(folder))
    bounds = read_bounds(folder / TRUST_FILE)
    if unknown := sorted(bounds.keys() - public.keys()):
        raise KeyUnusable(f"{folder / TRUST_FILE}: there is no public key {unknown[0]}.pub beside it")
    return {key_id: TrustedKey(key, bounds.get(key_id, NO_BOUNDS)) for key_id, key in public.items()}


def _public_keys(folder: Path) -> Iterator[tuple[str, PublicKey]]:
    for file in sorted(folder.glob("*.pub")):
        try:
            public = load_pem_public_key(file.read_bytes())
        except OSError as error:
            raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise KeyUnusable(f"{file} is no public key ({error}): {NO_PUBLIC_KEY}") from error
        if not isinstance(public, Ed25519PublicKey) and not _is_p256(public):
            raise KeyUnusable(f"{file} is no key on the curve P-256: {NO_PUBLIC_KEY}")
        yield key_id(public), public  # type: ignore[misc]  # one of the two kinds, as was checked


def _is_p256(public: object) -> bool:
    return isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == ec.SECP256R1.name


def named(private: ec.EllipticCurvePrivateKey) -> SigningKey:
    return SigningKey(key_id(private.public_key()), private)


def key_id(public: PublicKey | object) -> str:
    """The digest of a public key's PEM, as OpenSSF Model Signing and Witness have it; of an old key, as it was."""
    if isinstance(public, Ed25519PublicKey):
        return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return hashlib.sha256(pem_of(public)).hexdigest()


def pem_of(public: PublicKey) -> bytes:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: SigningKey) -> bytes:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
