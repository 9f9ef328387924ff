"""Encodes the headers of a record as one blob, and decodes it. Order, duplicates and bytes are preserved.

The blob has a shape (names and lengths) and then the values. Records of one kind share a shape. So decoding is one
look-up and one struct call instead of a loop over the headers. A replay spends most of its time on reading.
"""

import struct
from collections.abc import Callable

from headgate.log.port import Headers

_KEPT_SHAPES = 4096
_U32 = struct.Struct("<I")

_Unpack = Callable[[bytes, int], tuple[bytes, ...]]
_shapes: dict[bytes, tuple[tuple[str, ...], _Unpack]] = {}


def encode_headers(headers: Headers) -> bytes | None:
    """The blob; None for no headers."""
    if not headers:
        return None
    names = [name.encode() for name, _ in headers]
    shape = b"".join(
        _U32.pack(len(name)) + name + _U32.pack(len(value)) for name, (_, value) in zip(names, headers, strict=True)
    )
    return _U32.pack(len(shape)) + shape + b"".join(value for _, value in headers)


def decode_headers(blob: bytes | None) -> Headers:
    if blob is None:
        return ()
    values_at = _U32.unpack_from(blob)[0] + 4
    shape = blob[4:values_at]
    names, unpack = _shapes.get(shape) or _add_shape(shape)
    return tuple(zip(names, unpack(blob, values_at), strict=True))


def _add_shape(shape: bytes) -> tuple[tuple[str, ...], _Unpack]:
    names, lengths, at = [], [], 0
    while at < len(shape):
        name_at = at + 4
        value_length_at = name_at + _U32.unpack_from(shape, at)[0]
        names.append(shape[name_at:value_length_at].decode())
        lengths.append(_U32.unpack_from(shape, value_length_at)[0])
        at = value_length_at + 4
    decoder = tuple(names), struct.Struct("".join(f"{length}s" for length in lengths)).unpack_from
    if len(_shapes) >= _KEPT_SHAPES:
        _shapes.clear()
    _shapes[shape] = decoder
    return decoder
