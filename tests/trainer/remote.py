"""What an attempt may download, for tests."""

import threading
from pathlib import Path

from headgate.downloads.cache import Cache
from headgate.downloads.places import places_of
from headgate.downloads.web import Web
from services.trainer.attempt.remote_data import DataAccess, RemoteFiles


def access_in(directory: Path, places: str = "", max_bytes: int = 64 << 20, credentials: str = "") -> DataAccess:
    """Access to these places, with a cache below the directory."""
    return DataAccess(Cache(directory / "cache", max_bytes), Web(places_of(places), credentials))


def no_downloads(directory: Path) -> RemoteFiles:
    """Of a trainer whose operator allows no place."""
    return RemoteFiles(access_in(directory), directory / "downloaded", threading.Event())
