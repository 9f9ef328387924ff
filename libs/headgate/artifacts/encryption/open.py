"""The way from a setting to a key-encryption key. Each adapter is imported only where the setting names it."""

from pathlib import Path
from urllib.parse import urlsplit

from headgate.artifacts.encryption.key_encryption import EncryptionUnusable, KeyEncryption
from headgate.artifacts.file_urls import path_of
from headgate.domain.address import has_real_port, keeps_secrets

VAULT = "vault+"
EXPECTED = "expected file:///path/encryption.key, or vault+https://host:8200/transit/KEY"
NO_TOKEN = "the key of a Vault needs HEADGATE_ENCRYPTION_TOKEN, the file with the token"


def check_key_url(url: str) -> None:
    """Raises ValueError for a URL that cannot name a key. An empty one names none, which is allowed."""
    if url.startswith("file:"):
        path_of(url)
    elif url.startswith(VAULT):
        _transit_parts(url)
    elif url:
        raise ValueError(EXPECTED)


def key_path_of(url: str) -> Path | None:
    """The file that the URL names, which holds the secret; None for the key of a server."""
    return path_of(url) if url.startswith("file:") else None


def key_encryption(url: str, token_file: Path | None = None) -> KeyEncryption | None:
    """The key that the URL names; None for an empty one. Raises EncryptionUnusable."""
    try:
        check_key_url(url)
    except ValueError as error:
        raise EncryptionUnusable(str(error)) from error
    if url.startswith("file:"):
        from headgate.artifacts.encryption.key_file import KeyFile

        return KeyFile(path_of(url))
    if url:
        from headgate.artifacts.encryption.vault_transit import VaultTransit

        if token_file is None:
            raise EncryptionUnusable(NO_TOKEN)
        return VaultTransit(*_transit_parts(url), token_file)
    return None


def _transit_parts(url: str) -> tuple[str, str, str]:
    """The server, the path of the engine and the name of the key. Raises ValueError."""
    parts = urlsplit(url.removeprefix(VAULT))
    mount, _, key = parts.path.strip("/").rpartition("/")
    server = f"{parts.scheme}://{parts.netloc}"
    if not (parts.hostname and mount and key) or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(EXPECTED)
    if not has_real_port(server) or not keeps_secrets(server):
        raise ValueError(f"{EXPECTED}; http is for the loopback alone")
    return server, mount, key
