"""Draws lines, points and text on pixels, each in one colour of the palette."""

import numpy as np
import numpy.typing as npt

from headgate.artifacts.plots.glyphs import HEIGHT, pixels_of
from headgate.artifacts.plots.png import Pixels, png_of

Places = npt.NDArray[np.int64]

WHITE, BLACK, GREY = 0, 1, 2
SERIES = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (148, 103, 189),
    (255, 127, 14),
    (140, 86, 75),
    (23, 190, 207),
    (227, 119, 194),
    (127, 127, 127),
    (160, 160, 20),
)
SHADES = tuple((255 - 224 * step // 15, 255 - 136 * step // 15, 255 - 75 * step // 15) for step in range(16))
PALETTE = ((255, 255, 255), (0, 0, 0), (208, 208, 208), *SERIES, *SHADES)
FIRST_SERIES = 3
FIRST_SHADE = FIRST_SERIES + len(SERIES)
PEN = 2
"""Pixels."""


class Canvas:
    """A white picture. Places are pixels from the left and from the top."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels: Pixels = np.full((height, width), WHITE, np.uint8)

    def png(self) -> bytes:
        return png_of(self._pixels, PALETTE)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: int, pen: int = PEN) -> None:
        steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]))) + 1
        across = np.rint(np.linspace(start[0], end[0], steps + 1)).astype(np.int64)
        down = np.rint(np.linspace(start[1], end[1], steps + 1)).astype(np.int64)
        for right in range(pen):
            for below in range(pen):
                self._set(across + right, down + below, colour)

    def box(self, left: float, top: float, width: float, height: float, colour: int) -> None:
        first, upper = round(left), round(top)
        self._pixels[upper : round(top + height), first : round(left + width)] = colour

    def text(self, left: float, top: float, text: str, colour: int = BLACK, scale: int = 1) -> None:
        self._stamp(left, top, np.kron(pixels_of(text), np.ones((scale, scale), np.bool_)), colour)

    def upwards(self, left: float, top: float, text: str) -> None:
        """Text that is read from below."""
        self._stamp(left, top, np.rot90(pixels_of(text)), BLACK)

    def _stamp(self, left: float, top: float, mask: npt.NDArray[np.bool_], colour: int) -> None:
        down, across = np.nonzero(mask)
        self._set(across + round(left), down + round(top), colour)

    def _set(self, across: Places, down: Places, colour: int) -> None:
        height, width = self._pixels.shape
        inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
        self._pixels[down[inside], across[inside]] = colour


def width_of(text: str, scale: int = 1) -> int:
    return int(pixels_of(text).shape[1]) * scale


def height_of(scale: int = 1) -> int:
    return HEIGHT * scale
