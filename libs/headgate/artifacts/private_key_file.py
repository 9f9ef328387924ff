"""Reads a private key out of its PEM file."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from headgate.artifacts.key_files import KeyUnusable


def private_key(file: Path, missing: str, kind: str, advice: str) -> PrivateKeyTypes:
    """The key in the file. `missing` and `kind` name what the file should hold. Raises KeyUnusable."""
    try:
        return load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise KeyUnusable(f"{file}: there is no {missing}: {advice}") from error
    except OSError as error:
        raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise KeyUnusable(f"{file} is no {kind} ({error}): restore it; {advice}") from error
