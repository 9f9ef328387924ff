"""Compressed bodies: gzip and deflate, with a bound on what a compressed body becomes."""

import zlib
from functools import lru_cache

from services.gateway.rest.http_messages import HttpRefused
from services.gateway.rest.limits import MAX_BODY_BYTES

GZIP, DEFLATE = "gzip", "deflate"
MIN_COMPRESSED_BYTES = 1024
"""A smaller answer is sent as it is: compressing it takes longer than sending it."""
LEVEL = 1
MAX_REMEMBERED = 256

_WINDOW_BITS = {GZIP: 16 + zlib.MAX_WBITS, DEFLATE: zlib.MAX_WBITS}


def decompressed(body: bytes, encoding: str) -> bytes:
    """The body before its Content-Encoding. Raises HttpRefused."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise HttpRefused(415, f"Content-Encoding: expected gzip or deflate, got {encoding!r}")
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        content = unpacker.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise HttpRefused(400, f"the body is not {encoding}: {error}") from None
    if unpacker.unconsumed_tail:
        raise HttpRefused(413, f"expected a body of at most {MAX_BODY_BYTES} bytes once it is decompressed")
    if not unpacker.eof or unpacker.unused_data:
        problem = "it has bytes after its end" if unpacker.eof else "it is cut short"
        raise HttpRefused(400, f"the body is not {encoding}: {problem}")
    return content


@lru_cache(MAX_REMEMBERED)
def chosen_encoding(accepted: str | None) -> str:
    """The encoding that the caller accepts and this server can write; empty for none."""
    if not accepted:
        return ""
    for each in accepted.lower().split(","):
        name, _, quality = each.partition(";")
        if name.strip() in _WINDOW_BITS and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return name.strip()
    return ""


def compressed(content: bytes, encoding: str) -> bytes:
    """The content in this encoding."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return packer.compress(content) + packer.flush()
