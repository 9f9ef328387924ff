"""The artifact store that a service's setting HEADGATE_ARTIFACTS names."""

from headgate.artifacts.store import ArtifactStore, StoreUnusable, check_url, open_store
from headgate.domain.credentials import without_credentials
from headgate.runtime.settings import SettingsError


def require_store(url: str) -> None:
    """Raises ValueError for a URL that cannot name a store. It opens nothing."""
    try:
        check_url(url)
    except StoreUnusable as error:
        raise ValueError(str(error)) from error


def artifact_store(url: str) -> ArtifactStore:
    """The store at the URL. Raises SettingsError, so call it before the service waits for anything."""
    try:
        return open_store(url)
    except StoreUnusable as error:
        raise SettingsError([f"HEADGATE_ARTIFACTS={without_credentials(url)!r}: {error}"]) from error
