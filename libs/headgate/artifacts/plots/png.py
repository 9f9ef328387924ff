"""Writes a PNG of few colours with zlib alone. Equal pixels give equal bytes: it holds no time and no other note.

An image library would have to stand in the environment of every repository, because plots are drawn where a model is
trained.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BITS, BY_PALETTE = 8, 3
LEVEL = 9


def png_of(pixels: Pixels, palette: Sequence[Colour]) -> bytes:
    """`pixels` has for each row from the top the number of each pixel's colour in the palette."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, BITS, BY_PALETTE, 0, 0, 0)
    # Each row begins with the number of its filter; 0 is none.
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels]).tobytes()
    parts = (
        (b"IHDR", header),
        (b"PLTE", bytes(value for colour in palette for value in colour)),
        (b"IDAT", zlib.compress(rows, LEVEL)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
