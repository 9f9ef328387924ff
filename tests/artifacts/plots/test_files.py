"""Plots are written as data and as pictures, the same bytes each time."""

import json
import struct
import zlib

import numpy as np
import pytest

from headgate.artifacts.layout import PLOTS_FILE
from headgate.artifacts.plots.axis import Axis, axis_of
from headgate.artifacts.plots.by_task import learning_curve, plots_of
from headgate.artifacts.plots.canvas import PALETTE
from headgate.artifacts.plots.drawing import ACROSS, DOWN, HEIGHT, LEFT, TOP, WIDTH, drawn
from headgate.artifacts.plots.plot import Kind, Plot, Series
from headgate.artifacts.plots.png import SIGNATURE, Pixels, png_of


def pixels_in(png: bytes) -> Pixels:
    """The colour number of each pixel, read as the format says; every part has its checksum."""
    assert png.startswith(SIGNATURE)
    parts, rest = {}, png[len(SIGNATURE) :]
    while rest:
        (size,) = struct.unpack(">I", rest[:4])
        kind, content = rest[4:8], rest[8 : 8 + size]
        assert struct.unpack(">I", rest[8 + size : 12 + size]) == (zlib.crc32(kind + content),)
        parts[kind], rest = content, rest[12 + size :]
    assert list(parts) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_a_picture_has_the_pixels_that_it_was_written_from() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pixels_in(png_of(pixels, PALETTE)).tolist() == pixels.tolist()


def test_equal_plots_have_equal_bytes() -> None:
    chance = np.random.RandomState(5)
    probabilities, answers = chance.rand(50), chance.randint(0, 2, 50)
    first, second = (plots_of("binary", probabilities, answers, 0.5).files() for _ in range(2))
    assert first == second
    assert set(first) == {
        PLOTS_FILE,
        *(f"plot.{name}.png" for name in ("roc", "precision_recall", "calibration", "confusion")),
    }


def test_the_data_say_what_a_picture_shows_and_why_one_is_missing() -> None:
    files = plots_of("binary", np.array([0.2, 0.9]), np.array([1, 1]), 0.5).files()
    data = json.loads(files[PLOTS_FILE])
    assert data["undefined"] == {"roc": "every row is positive"}
    assert data["plots"]["precision_recall"]["series"] == [{"name": "positive", "x": [0.5, 1.0], "y": [1.0, 1.0]}]
    assert "plot.roc.png" not in files


def test_a_line_goes_from_the_place_of_its_first_point_to_that_of_its_last() -> None:
    blue = 3
    rising = Plot("A", "x", "y", Kind.LINES, [Series("a", [0, 1], [0, 1])], shares=True)
    coloured = np.argwhere(pixels_in(drawn(rising)) == blue)
    down, across = coloured[:, 0], coloured[:, 1]
    assert (across.min(), down.max()) == (LEFT, TOP + DOWN + 1)
    assert (across.max(), down.min()) == (LEFT + ACROSS + 1, TOP)
    middle = coloured[np.abs(across - (LEFT + ACROSS / 2)) < 1]
    assert abs(middle[:, 0].mean() - (TOP + DOWN / 2)) < 2


def test_a_full_cell_of_a_matrix_is_darker_than_an_empty_one() -> None:
    matrix = Plot("A", "x", "y", Kind.MATRIX, cells=[[9, 0], [0, 4]], names=["0", "1"])
    pixels = pixels_in(drawn(matrix))
    brightness = [sum(PALETTE[pixels[TOP + 3, across]]) for across in (LEFT + 3, LEFT + ACROSS // 2 + 3)]
    assert brightness[0] < brightness[1]


@pytest.mark.parametrize("losses", [[0.5], [0.0, 0.0], [1e300, 1.0], [-3.0, -2.0]])
def test_any_finite_losses_have_a_learning_curve(losses: list[float]) -> None:
    assert pixels_in(drawn(learning_curve(losses, losses))).shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis(-30, 45), [-20, 0, 20, 40]),
        (axis_of([7.0]), [4, 6, 8, 10]),
    ],
)
def test_an_axis_has_a_few_round_numbers(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
