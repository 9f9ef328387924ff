"""gRPC's own bytes on top of HTTP/2: messages with their lengths, deadlines, statuses. No input and output here."""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from urllib.parse import quote

import grpc

from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.errors import RpcRefused

PREFIX_BYTES = 5
"""Each message begins with whether it is compressed, and with its length."""
MAX_BODIES_BYTES = 16 * MAX_MESSAGE_BYTES
"""The size of all messages together of which a part has come."""
RETRY_SECONDS = 1.0
IDENTITY, GZIP, DEFLATE = b"identity", b"gzip", b"deflate"
ENCODINGS = b"identity,deflate,gzip"

_PREFIX = struct.Struct(">?I")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

Header = tuple[bytes, bytes]
Metadata = tuple[tuple[str, str | bytes], ...]
Reserve = Callable[[int], bool]
"""Called with the change of the bytes of messages that are not complete. It answers whether they may stay."""


def timeout_seconds(text: bytes) -> float:
    """The time that a caller gives, from its header grpc-timeout. Raises RpcRefused."""
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        rule = f"grpc-timeout: expected up to 8 digits and one of HMSmun, got {text[:40]!r}"
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-timeout", rule)
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def framed(message: bytes) -> bytes:
    """The message with its prefix, not compressed."""
    return _PREFIX.pack(False, len(message)) + message


def whole_message(body: bytes) -> bytes | None:
    """The message of a body that holds one message and no more, not compressed; None for any other body."""
    size = len(body) - PREFIX_BYTES
    if 0 <= size <= MAX_MESSAGE_BYTES and _PREFIX.unpack_from(body) == (False, size):
        return body[PREFIX_BYTES:]
    return None


def metadata_of(headers: Iterable[Header]) -> Metadata:
    """A call's headers as gRPC gives them to a servicer: names that end in -bin have bytes."""
    return tuple((name.decode(), _value(name, value)) for name, value in headers)


def status_headers(code: int, message: str, trailing: Iterable[tuple[str, str | bytes]] = ()) -> list[Header]:
    """The trailers of a call that ends with this status."""
    found = [(b"grpc-status", str(code).encode())]
    if message:
        found.append((b"grpc-message", quote(message, safe=_UNESCAPED, errors="replace").encode()))
    return found + [(name.encode(), _encoded(value)) for name, value in trailing]


class MessageReader:
    """Makes messages of the parts of a body. `encoding` is the caller's, for the messages that are compressed."""

    def __init__(self, encoding: bytes, reserve: Reserve) -> None:
        self._encoding, self._reserve = encoding, reserve
        self._buffer = bytearray()
        self._reserved = 0

    @property
    def buffered_bytes(self) -> int:
        """What has come, and was not taken yet."""
        return len(self._buffer)

    def feed(self, part: bytes) -> None:
        """Adds what has come."""
        self._buffer += part

    def next(self) -> bytes | None:
        """The next message; None while it is not complete. Raises RpcRefused as soon as its length is too large."""
        if len(self._buffer) < PREFIX_BYTES:
            return None
        size = int.from_bytes(self._buffer[1:PREFIX_BYTES], "big")
        if size > MAX_MESSAGE_BYTES:
            raise _too_large(f"{size} bytes")
        end = PREFIX_BYTES + size
        if len(self._buffer) < end:
            self._wait_for(end)
            return None
        flag = self._buffer[0]
        with memoryview(self._buffer) as view:  # a slice of the buffer itself would be a second copy
            message = bytes(view[PREFIX_BYTES:end])
        del self._buffer[:end]
        self.release()
        return message if not flag else _decompressed(flag, self._encoding, message)

    def release(self) -> None:
        """Gives up the message that is not complete."""
        if self._reserved:
            self._reserve(-self._reserved)
            self._reserved = 0

    def _wait_for(self, size: int) -> None:
        if self._reserved:
            return
        self._reserved = size
        if not self._reserve(size):
            rule = "this gateway receives too many large messages at once; try again in a second"
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise RpcRefused(code, "too-many-bytes", rule, retry_after_seconds=RETRY_SECONDS)


def _value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(b"-bin"):
        return value.decode(errors="replace")
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return b""


def _encoded(value: str | bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode()


def _decompressed(flag: int, encoding: bytes, message: bytes) -> bytes:
    if flag != 1 or encoding not in (GZIP, DEFLATE):
        rule = f"a message is compressed as {encoding.decode(errors='replace')[:40]!r}; expected gzip or deflate"
        raise RpcRefused(grpc.StatusCode.UNIMPLEMENTED, "unknown-compression", rule)
    opened = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16 if encoding == GZIP else zlib.MAX_WBITS)
    try:
        content = opened.decompress(message, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise RpcRefused(grpc.StatusCode.INTERNAL, "invalid-message", f"decompression failed: {error}") from error
    if len(content) > MAX_MESSAGE_BYTES:
        raise _too_large("more when it is decompressed")
    if not opened.eof:
        raise RpcRefused(grpc.StatusCode.INTERNAL, "invalid-message", "a compressed message is not complete")
    return content


def _too_large(got: str) -> RpcRefused:
    rule = f"the request has {got}, and {MAX_MESSAGE_BYTES} bytes can be received; send fewer rows"
    return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "request-too-large", rule)
