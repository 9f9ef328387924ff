"""Where bytes come from: the port that downloads know, and the local file as its simplest engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headgate.downloads.faults import Refused

CHUNK_BYTES = 1 << 20
"""The most bytes that are held at once of one download, but for the few chunks that wait to be written."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a source says first: the position of its first byte, and the size of the whole where it is known."""

    start: int
    size: int | None


class Source(Protocol):
    """One file somewhere. It may be asked again, after an interruption, for the rest."""

    @property
    def name(self) -> str:
        """The file as people may see it, without secrets."""

    def parts(self, start: int) -> Iterator[Head | bytes]:
        """A Head and then the bytes, from `start` or from the beginning. Raises Refused and Interrupted."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def parts(self, start: int) -> Iterator[Head | bytes]:
        """A Head and then the bytes. Raises Refused."""
        try:
            with self.path.open("rb") as content:
                yield Head(start, self.path.stat().st_size)
                content.seek(start)
                while chunk := content.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise Refused(f"{self.path} cannot be read: {error.strerror}") from error
