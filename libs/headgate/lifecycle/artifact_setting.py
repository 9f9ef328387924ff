"""The artifact store that a service's setting HEADGATE_ARTIFACTS names."""

from headgate.artifacts.store import ArtifactStore, StoreUnusable, open_store
from headgate.domain.credentials import without_credentials
from headgate.runtime.settings import SettingsError


def artifact_store(url: str) -> ArtifactStore:
    """The store at the URL. Raises SettingsError, so call it before the service waits for anything."""
    try:
        return open_store(url)
    except StoreUnusable as error:
        raise SettingsError([f"HEADGATE_ARTIFACTS={without_credentials(url)!r}: {error}"]) from error
