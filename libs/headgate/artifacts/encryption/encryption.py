"""Encrypts and decrypts single objects of the store. It reads and writes none itself, so the store decides how."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tink import TinkError

from headgate.artifacts.blobs import RESTORE, ArtifactCorrupt
from headgate.artifacts.encryption import data_key_record
from headgate.artifacts.encryption.header import Header
from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.encryption.tink_keys import decrypted_into, encrypted, new_data_key

DATA_KEY_BYTES = 16
"""Of the id of a data key."""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """An object that is about to be stored: first the record of its data key, then its own bytes, as they come."""

    header: Header
    record: bytes
    content: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Encryption:
    """Thread-safe."""

    keys: KeyEncryption

    def encrypted(self, name: str, size: int, parts: Iterable[bytes | memoryview]) -> Encrypted:
        """Encrypts under a new data key. The parts have `size` bytes together. Raises KeyUnavailable."""
        data_key = new_data_key()
        record = data_key_record.encode(name, self.keys.wrap(data_key, name))
        header = Header(os.urandom(DATA_KEY_BYTES).hex(), size)
        return Encrypted(header, record, _content(header, name, data_key, parts))

    def decrypted_into(
        self, room: memoryview, name: str, header: Header, record: bytes, ciphertext: BinaryIO
    ) -> Iterator[memoryview]:
        """Fills the room with the plaintext, and yields each part that is filled. Trust nothing before the last one.

        `ciphertext` begins behind the header. Raises ArtifactCorrupt and KeyUnavailable.
        """
        _, wrapped = data_key_record.decode(record)
        data_key = self.keys.unwrap(wrapped, name)
        try:
            yield from decrypted_into(room, data_key, ciphertext, header.associated(name))
        except TinkError as error:
            rule = f"{name} is encrypted, and its bytes were changed, cut, or belong to another object: {RESTORE}"
            raise ArtifactCorrupt(rule) from error


def _content(header: Header, name: str, data_key: bytes, parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    yield header.encoded()
    yield from encrypted(data_key, parts, header.associated(name))
