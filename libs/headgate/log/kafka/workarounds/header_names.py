"""Header names that are not UTF-8. Other clients can write them; kafka-python then fails at every poll, for ever.

They are read as text with the bad bytes replaced, which still encodes to the bytes that were written, so that the
record can be buried like any other.
"""

from typing import Any, Self

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint


class RawName(str):
    """A header name that is not UTF-8; `encode` gives its bytes."""

    __slots__ = ("_raw",)
    _raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        name = super().__new__(cls, raw.decode(errors="replace"))
        name._raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self._raw


class KeepingBatch(DefaultRecordBatch):  # type: ignore[misc]  # the library has no types
    """A batch of records whose header names may be any bytes."""

    def _read_msg(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._read_msg(*arguments, **options)
        except UnicodeDecodeError:
            names = _names(bytes(self._buffer), self._pos)
        for at, name in names:
            self._buffer[at : at + len(name)] = b"?" * len(name)
        record = super()._read_msg(*arguments, **options)
        kept = zip(names, record.headers, strict=True)
        record._headers = [(RawName(name), value) for (_, name), (_, value) in kept]
        return record


def keep_header_names() -> None:
    """Has kafka-python read batches our way. Idempotent."""
    memory_records.DefaultRecordBatch = KeepingBatch


def _names(buffer: bytes, start: int) -> list[tuple[int, bytes]]:
    """Where the header names of the record at `start` stand, and their bytes."""
    _, at = decode_varint(buffer, start)  # length
    for _ in range(3):  # attributes, time, offset
        _, at = decode_varint(buffer, at)
    for _ in range(2):  # key, value
        at = _behind(buffer, at)
    count, at = decode_varint(buffer, at)
    found = []
    for _ in range(count):
        length, at = decode_varint(buffer, at)
        found.append((at, buffer[at : at + length]))
        at = _behind(buffer, at + length)
    return found


def _behind(buffer: bytes, at: int) -> int:
    """Where a part that may be null ends."""
    length, at = decode_varint(buffer, at)
    end: int = at + max(length, 0)
    return end
