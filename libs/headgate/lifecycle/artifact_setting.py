"""The settings of a service that uses the artifact store: the store, and the key that encrypts it."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.artifacts.encryption.key_encryption import EncryptionUnusable, KeyEncryption
from headgate.artifacts.encryption.open import check_key_url, key_encryption
from headgate.artifacts.store import ArtifactStore, StoreUnusable, check_url, open_store
from headgate.domain.credentials import without_credentials
from headgate.lifecycle.authentication_setting import AuthenticatedSettings
from headgate.runtime.settings import CHECK, SettingsError


def require_store(url: str) -> None:
    """Raises ValueError for a URL that cannot name a store. It opens nothing."""
    try:
        check_url(url)
    except StoreUnusable as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSettings(AuthenticatedSettings):
    """The settings of a service that reads or writes artifacts."""

    artifacts: str = field(metadata={CHECK: require_store})
    """URL of the artifact store."""
    encryption_key: str = field(default="", metadata={CHECK: check_key_url})
    """URL of the key that encrypts what is stored; empty to store in the clear."""
    encryption_token: Path | None = None
    """File with the token for the Vault that has the key. It is read for each call, so it can be renewed."""


def stored_encryption(settings: ArtifactSettings) -> KeyEncryption | None:
    """The key of the settings; None without one. Raises SettingsError, so call it before the service waits."""
    try:
        return key_encryption(settings.encryption_key, settings.encryption_token)
    except EncryptionUnusable as error:
        raise SettingsError([f"HEADGATE_ENCRYPTION_KEY={settings.encryption_key!r}: {error}"]) from error


def artifact_store(settings: ArtifactSettings) -> ArtifactStore:
    """The store of the settings. Raises SettingsError, so call it before the service waits for anything."""
    keys = stored_encryption(settings)
    try:
        return open_store(settings.artifacts, keys=keys)
    except StoreUnusable as error:
        problem = f"HEADGATE_ARTIFACTS={without_credentials(settings.artifacts)!r}: {error}"
        raise SettingsError([problem]) from error
