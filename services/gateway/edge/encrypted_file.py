"""A file of a device on its disk: encrypted parts, one behind the other, so that an interrupted download goes on.

Each part is bound to the file's digest and to its place in it. Reading ends at a part that was torn, changed or moved.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headgate.artifacts.blobs import StoreError
from headgate.artifacts.encryption.key_encryption import KeyEncryption, Wrapped

MAGIC = b"headgate-edge-file-1\n"
HEAD = struct.Struct(">B I")
"""Before each part: the length of its key's id, and of its ciphertext."""
MAX_PART_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Sound:
    """What can be read of a file: the bytes, and how many bytes of the file they take."""

    data: bytes
    end: int


def sound_part(file: Path, name: str, keys: KeyEncryption) -> Sound:
    """The parts up to the first one that cannot be read. Raises FileNotFoundError, OSError and KeyUnavailable."""
    keys.key_id()  # a key file that is gone for a while makes no file of the device a damaged one
    found, offset, end = [], 0, 0
    with open(file, "rb") as content:
        if content.read(len(MAGIC)) != MAGIC:
            return Sound(b"", 0)
        end = len(MAGIC)
        for wrapped in _parts(content):
            try:
                part = keys.unwrap(wrapped, _place(name, offset))
            except StoreError:
                break
            found.append(part)
            offset += len(part)
            end += HEAD.size + len(wrapped.key_id) + len(wrapped.content)
    return Sound(b"".join(found), end)


def append(file: Path, name: str, sound: Sound, parts: Iterator[bytes], keys: KeyEncryption) -> None:
    """Writes more parts behind the sound ones, and waits until the disk has them. Raises OSError, KeyUnavailable.

    What breaks off leaves the parts that came before.
    """
    offset = len(sound.data)
    with open(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
        out.truncate(sound.end)
        out.seek(sound.end)
        if not sound.end:
            out.write(MAGIC)
        for part in parts:
            wrapped = keys.wrap(part, _place(name, offset))
            key_id = wrapped.key_id.encode()
            out.write(HEAD.pack(len(key_id), len(wrapped.content)) + key_id + wrapped.content)
            offset += len(part)
        out.flush()
        os.fsync(out.fileno())


def _parts(content: BinaryIO) -> Iterator[Wrapped]:
    while len(head := content.read(HEAD.size)) == HEAD.size:
        key_id_length, length = HEAD.unpack(head)
        if length > MAX_PART_BYTES:
            return
        key_id, ciphertext = content.read(key_id_length), content.read(length)
        if len(ciphertext) < length:
            return
        yield Wrapped(key_id.decode(errors="replace"), ciphertext)


def _place(name: str, offset: int) -> str:
    return f"{name} {offset}"
