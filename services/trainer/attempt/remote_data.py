"""Downloads data files from the places that the operator allows into the trainer's cache."""

import os
import shutil
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from headgate.downloads.cache import READ_ONLY, Cache
from headgate.downloads.faults import Refused, Stopped
from headgate.downloads.open import source_of
from headgate.downloads.places import Places
from headgate.downloads.source import Source
from headgate.downloads.transfer import Ending, Patience, Wanted
from headgate.downloads.web import Web
from headgate.v1 import configuration_pb2 as configuration
from services.trainer.programs import processes
from services.trainer.programs.processes import OnLimit, untold

MAX_DATA_BYTES = 8 * 1024**3
"""The largest data file."""
DATA_SECONDS = 3600.0
CACHE_BYTES = MAX_DATA_BYTES
NO_PLACES = Web(Places())
CACHE_FOLDER = "data-cache"
MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class DataAccess:
    """The cache, what the operator allows, and how long an attempt may download."""

    cache: Cache
    web: Web = NO_PLACES
    seconds: float = DATA_SECONDS


class RemoteFiles:
    """The downloaded data files of one attempt. They stay in the cache until this is closed."""

    def __init__(self, access: DataAccess, directory: Path, stop: threading.Event, on_limit: OnLimit = untold) -> None:
        """`directory` gets a link to each file, under the name that it has where it comes from. Raises OSError."""
        directory.mkdir()
        access.cache.prepare()
        self._access = access
        self._directory = directory
        self._stop = stop
        self._on_limit = on_limit
        self._ending: Ending | None = None
        self._leases = ExitStack()
        self._bytes = 0

    @property
    def web(self) -> Web:
        """What may be asked."""
        return self._access.web

    def fetch(self, file: configuration.DataFile) -> Path:
        """The path of the file that the URL names. Raises Refused, and processes.Stopped."""
        return self.fetch_from(source_of(file.uri, self.web), file)

    def fetch_from(self, source: Source, file: configuration.DataFile) -> Path:
        """The path of the file that the source gives. Raises Refused, and processes.Stopped."""
        if self._ending is None:
            self._on_limit(self._access.seconds)
            self._ending = Ending(self._stop, Patience(self._access.seconds))
        try:
            lease = self._access.cache.fetch(source, Wanted(file.sha256, MAX_DATA_BYTES, self._bytes), self._ending)
            self._leases.callback(lease.close)
            self._bytes += lease.path.stat().st_size
            return self._link(lease.path, file)
        except Stopped as stopped:
            raise processes.Stopped from stopped
        except OSError as error:
            where = f"the trainer cannot keep {file.uri} in {self._access.cache.folder}"
            raise Refused(f"{where}: {error.strerror}. The operator mends this, then publish again") from error

    @property
    def folder(self) -> Path:
        """Where the code of a commit reads them, and must not change them."""
        return self._directory

    @property
    def cache(self) -> Path:
        """What the code of a commit must not change. In a jail it is not there."""
        return self._access.cache.folder

    def close(self) -> None:
        """Ends the use of the files."""
        self._leases.close()

    def _link(self, path: Path, file: configuration.DataFile) -> Path:
        """A second name that ends as the file's own name does, because readers choose the format by it."""
        own_name = unquote(file.uri).rpartition("/")[2][-MAX_NAME_CHARACTERS:]
        link = self._directory / file.name / (own_name or file.name)
        link.parent.mkdir()
        _add_name(path, link)
        return link


def _add_name(path: Path, name: Path) -> None:
    """A jail shows this folder and not the whole cache, so the file gets a second name and no symbolic link."""
    try:
        os.link(path, name)
    except OSError:  # the cache lies on another disk
        shutil.copyfile(path, name)
        name.chmod(READ_ONLY)
