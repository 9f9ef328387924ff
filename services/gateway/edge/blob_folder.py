"""The files of a device's versions, encrypted, under the digests of their plaintext. Each is checked whenever read."""

import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from headgate.artifacts.blobs import ArtifactCorrupt, ArtifactMissing, ArtifactTooLarge, StoreUnavailable, digest
from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.domain.names import SHA256
from services.gateway.edge.encrypted_file import Sound, append, sound_part
from services.gateway.edge.sealed_file import flush_folder

PART = ".part"
NOTHING = Sound(b"", 0)

Download = Callable[[str, int], Iterator[tuple[bytes, int]]]
"""Parts of a file from an offset on, each with the size of the whole file.

Raises StoreUnavailable, ArtifactMissing, and ArtifactCorrupt when the file has no such offset."""


class BlobFolder:
    """Reads from the folder, and downloads what is missing there. Every method may be called on any thread."""

    def __init__(self, folder: Path, download: Download, max_bytes: int, keys: KeyEncryption) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._keys = keys
        self._folder = folder
        self._download = download
        self._max_bytes = max_bytes
        self._fetching = threading.Lock()

    def get(self, sha256: str) -> bytes:
        """The bytes with this digest.

        Raises ArtifactMissing, ArtifactCorrupt, ArtifactTooLarge, StoreUnavailable.
        """
        if not SHA256.fullmatch(sha256):
            raise ArtifactMissing(f"{sha256!r} is not a SHA-256 in hexadecimal")
        try:
            with self._fetching:
                return self._read(sha256) or self._fetch(sha256)
        except OSError as error:
            raise StoreUnavailable(f"the device's disk fails: {error}") from error

    def has(self, sha256: str) -> bool:
        """Whether there is a file of this digest. Its bytes are not checked."""
        return self._file(sha256).exists()

    def keep_only(self, needed: Collection[str]) -> None:
        """Deletes the files with other digests. Raises OSError."""
        for file in list(self._folder.iterdir()):
            if file.name.removesuffix(PART) not in needed:
                file.unlink(missing_ok=True)

    def _read(self, sha256: str) -> bytes | None:
        """The bytes, if they are here. Damaged ones are deleted, so that they are downloaded again."""
        file = self._file(sha256)
        try:
            data = sound_part(file, sha256, self._keys).data
            if digest(data) == sha256:
                return data
            return self._encrypted(file, sha256)
        except FileNotFoundError:
            return None

    def _encrypted(self, file: Path, sha256: str) -> bytes | None:
        """The bytes of a file that an older version wrote in the clear. It is encrypted, or deleted when damaged."""
        if digest(data := file.read_bytes()) != sha256:
            file.unlink()
            return None
        partial = file.with_name(sha256 + PART)
        partial.unlink(missing_ok=True)
        append(partial, sha256, NOTHING, iter((data,)), self._keys)
        os.replace(partial, file)
        return data

    def _fetch(self, sha256: str) -> bytes:
        """Downloads what is missing of the file. An interrupted download goes on where it ended."""
        partial = self._file(sha256).with_name(sha256 + PART)
        here = sound_part(partial, sha256, self._keys) if partial.exists() else NOTHING
        try:
            append(partial, sha256, here, self._downloaded(sha256, len(here.data)), self._keys)
        except ArtifactCorrupt:
            partial.unlink()
            raise
        data = sound_part(partial, sha256, self._keys).data
        if (found := digest(data)) != sha256:
            partial.unlink()
            raise ArtifactCorrupt(
                f"the bytes that were sent as {sha256} have the digest {found}: check the artifact store of the gateway"
            )
        os.replace(partial, self._file(sha256))
        flush_folder(self._folder)
        return data

    def _downloaded(self, sha256: str, offset: int) -> Iterator[bytes]:
        for part, size in self._download(sha256, offset):
            self._require_room(size, sha256)
            yield part

    def _require_room(self, size: int, sha256: str) -> None:
        """Raises ArtifactTooLarge when the file and all others together exceed the limit."""
        others = sum(file.stat().st_size for file in self._folder.iterdir() if not file.name.startswith(sha256))
        if others + size > self._max_bytes:
            needed, limit = (others + size) >> 20, self._max_bytes >> 20
            rule = f"it needs {needed} MiB on the device's disk with what is there, and the limit is {limit} MiB"
            raise ArtifactTooLarge(f"{rule}; see --disk-mib of headgate edge")

    def _file(self, sha256: str) -> Path:
        return self._folder / sha256
