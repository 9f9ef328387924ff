"""Tink as Headgate uses it: the kinds of keys, and keysets as bytes. Only this folder imports it."""

import io
from collections.abc import Iterable, Iterator
from functools import cache
from typing import BinaryIO

from tink import (
    KeysetHandle,
    TinkError,
    aead,
    new_keyset_handle,
    proto_keyset_format,
    secret_key_access,
    streaming_aead,
)
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

SEGMENT_BYTES = 64 << 10
"""What is encrypted as one segment. Measured against 4 KiB to 1 MiB: both directions are fastest here."""
PART_BYTES = 1 << 20
"""About how much ciphertext is handed on at once."""
KEY_BYTES = 32


@cache
def _registered() -> None:
    """Tink asks for this once in a process, before it makes or uses a key."""
    aead.register()
    streaming_aead.register()


def new_data_key() -> bytes:
    """A keyset with a new key for one object: AES-256-GCM by segments, each key from HKDF (STREAM)."""
    _registered()
    form = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKeyFormat(key_size=KEY_BYTES)
    form.params.hkdf_hash_type = common_pb2.SHA256
    form.params.derived_key_size = KEY_BYTES
    form.params.ciphertext_segment_size = SEGMENT_BYTES
    template = tink_pb2.KeyTemplate(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=form.SerializeToString(),
        output_prefix_type=tink_pb2.RAW,
    )
    return serialized(new_keyset_handle(template))


def serialized(keys: KeysetHandle) -> bytes:
    """A keyset in the clear, as bytes."""
    return bytes(proto_keyset_format.serialize(keys, secret_key_access.TOKEN))


def encrypted(data_key: bytes, parts: Iterable[bytes | memoryview], associated: bytes) -> Iterator[bytes]:
    """The ciphertext of the parts, while they come."""
    held = _Held()
    stream = _primitive(data_key).new_encrypting_stream(held, associated)
    for part in parts:
        for start in range(0, len(part), SEGMENT_BYTES):
            _write_all(stream, memoryview(part)[start : start + SEGMENT_BYTES])
            if held.size >= PART_BYTES:
                yield held.taken()
    stream.close()
    yield held.taken()


def _write_all(stream: BinaryIO, part: memoryview) -> None:
    while part:
        part = part[stream.write(part) :]


def decrypted_into(room: memoryview, data_key: bytes, ciphertext: BinaryIO, associated: bytes) -> Iterator[memoryview]:
    """Fills the room with the plaintext and yields each part that is filled.

    Raises TinkError for bytes that were changed, cut or moved, and when the plaintext has another size.
    """
    stream = _primitive(data_key).new_decrypting_stream(ciphertext, associated)
    filled = 0
    while part := stream.read(PART_BYTES):
        if filled + len(part) > len(room):
            raise TinkError("there is more than the header says")
        room[filled : filled + len(part)] = part
        yield room[filled : filled + len(part)]
        filled += len(part)
    if filled != len(room):
        raise TinkError("there is less than the header says")


def _primitive(data_key: bytes) -> streaming_aead.StreamingAead:
    """Raises TinkError for bytes that are no such keyset."""
    _registered()
    keys = proto_keyset_format.parse(data_key, secret_key_access.TOKEN)
    return keys.primitive(streaming_aead.StreamingAead)


def new_wrapping_key() -> KeysetHandle:
    """A keyset with one new key that wraps data keys."""
    _registered()
    return new_keyset_handle(aead.aead_key_templates.AES256_GCM)


def wrapping(keys: KeysetHandle) -> aead.Aead:
    """Raises TinkError when the keyset holds keys of another kind."""
    _registered()
    return keys.primitive(aead.Aead)


class _Held(io.RawIOBase):
    """Takes what a stream writes, until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(part))
        self.size += len(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts, self.size = self._parts, [], 0
        return b"".join(parts)
