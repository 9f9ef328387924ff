"""Reads records with header names that are not UTF-8. Other clients can write them, and kafka-python then fails at
every poll, for ever.

Such a name becomes text in which the bad bytes are replaced. Its `encode` still returns the original bytes, so the
record can be buried like any other.
"""

from typing import Any, Self

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint


class RawName(str):
    """A header name that is not UTF-8. `encode` returns its original bytes."""

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
    """Makes kafka-python read batches with KeepingBatch. Idempotent."""
    memory_records.DefaultRecordBatch = KeepingBatch


def _names(buffer: bytes, start: int) -> list[tuple[int, bytes]]:
    """The position and the bytes of each header name of the record at `start`."""
    _, at = decode_varint(buffer, start)  # length
    for _ in range(3):  # attributes, time, offset
        _, at = decode_varint(buffer, at)
    for _ in range(2):  # key, value
        at = _end_of_part(buffer, at)
    count, at = decode_varint(buffer, at)
    found = []
    for _ in range(count):
        length, at = decode_varint(buffer, at)
        found.append((at, buffer[at : at + length]))
        at = _end_of_part(buffer, at + length)
    return found


def _end_of_part(buffer: bytes, at: int) -> int:
    """The end of the part at this position. A part of length -1 is null and has no bytes."""
    length, at = decode_varint(buffer, at)
    end: int = at + max(length, 0)
    return end
