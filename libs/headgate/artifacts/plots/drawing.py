"""Draws a plot as a PNG. Equal plots give equal bytes."""

from dataclasses import dataclass
from itertools import pairwise

from headgate.artifacts.plots.axis import Axis, axis_of, text_of
from headgate.artifacts.plots.canvas import (
    BLACK,
    FIRST_SERIES,
    FIRST_SHADE,
    GREY,
    SERIES,
    SHADES,
    WHITE,
    Canvas,
    height_of,
    width_of,
)
from headgate.artifacts.plots.plot import Kind, Plot

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 100, 40, 48
ACROSS, DOWN = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
MARGIN = 4
DOT = 3
LONGEST_NAME = 15


def drawn(plot: Plot) -> bytes:
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(LEFT, TOP - 24, plot.title, scale=2)
    canvas.text(LEFT + (ACROSS - width_of(plot.x_label)) / 2, HEIGHT - 14, plot.x_label)
    canvas.upwards(6, TOP + (DOWN - width_of(plot.y_label)) / 2, plot.y_label)
    if plot.kind is Kind.MATRIX:
        draw_matrix(canvas, plot)
    else:
        draw_series(canvas, plot)
    return canvas.png()


@dataclass(frozen=True, slots=True)
class Area:
    """The part of the canvas on which the two axes lie."""

    x: Axis
    y: Axis

    def place(self, x: float, y: float) -> tuple[float, float]:
        return LEFT + ACROSS * self.x.place(x), TOP + DOWN * (1 - self.y.place(y))


def area_of(plot: Plot) -> Area:
    """Shares have axes from 0 to 1. Others reach from the least to the largest value, and to 0 upwards."""
    across = [x for series in plot.series for x in series.x]
    up = [y for series in plot.series for y in series.y]
    if plot.shares:
        return Area(axis_of(across, 0.0, 1.0), axis_of(up, 0.0, 1.0))
    return Area(axis_of(across), axis_of(up, 0.0))


def draw_series(canvas: Canvas, plot: Plot) -> None:
    area = area_of(plot)
    draw_axes(canvas, area)
    if plot.diagonal:
        canvas.line(area.place(0, 0), area.place(1, 1), GREY)
    for number, series in enumerate(plot.series):
        colour = FIRST_SERIES + number % len(SERIES)
        places = [area.place(x, y) for x, y in zip(series.x, series.y, strict=True)]
        if plot.kind is Kind.LINES:
            for start, end in pairwise(places):
                canvas.line(start, end, colour)
        if plot.kind is Kind.POINTS or len(places) == 1:
            for across, down in places:
                canvas.box(across - DOT / 2, down - DOT / 2, DOT, DOT, colour)
    draw_legend(canvas, plot)


def draw_axes(canvas: Canvas, area: Area) -> None:
    for tick in area.x.ticks():
        across = LEFT + ACROSS * area.x.place(tick)
        canvas.line((across, TOP), (across, TOP + DOWN), GREY, pen=1)
        canvas.text(across - width_of(text_of(tick)) / 2, TOP + DOWN + MARGIN, text_of(tick))
    for tick in area.y.ticks():
        down = TOP + DOWN * (1 - area.y.place(tick))
        canvas.line((LEFT, down), (LEFT + ACROSS, down), GREY, pen=1)
        canvas.text(LEFT - MARGIN - width_of(text_of(tick)), down - height_of() / 2, text_of(tick))
    canvas.line((LEFT, TOP), (LEFT, TOP + DOWN), BLACK, pen=1)
    canvas.line((LEFT, TOP + DOWN), (LEFT + ACROSS, TOP + DOWN), BLACK, pen=1)


def draw_legend(canvas: Canvas, plot: Plot) -> None:
    """The names of the series below each other, where there are several."""
    if len(plot.series) < 2:
        return
    for number, series in enumerate(plot.series):
        colour = FIRST_SERIES + number % len(SERIES)
        down = TOP + number * (height_of() + MARGIN)
        canvas.text(LEFT + ACROSS + 2 * MARGIN, down, series.name[:LONGEST_NAME], colour)


def draw_matrix(canvas: Canvas, plot: Plot) -> None:
    """Each cell is the darker the larger its share of its row is. Its count stands in it where there is room."""
    across, down = ACROSS / len(plot.names), DOWN / len(plot.names)
    for row, counts in enumerate(plot.cells):
        for column, count in enumerate(counts):
            shade = round(count / max(sum(counts), 1) * (len(SHADES) - 1))
            left, top, text = LEFT + column * across, TOP + row * down, str(count)
            canvas.box(left, top, across - 1, down - 1, FIRST_SHADE + shade)
            if width_of(text) < across and height_of() < down:
                colour = WHITE if shade > len(SHADES) // 2 else BLACK
                canvas.text(left + (across - width_of(text)) / 2, top + (down - height_of()) / 2, text, colour)
    for number, name in enumerate(plot.names):
        if height_of() < down:
            canvas.text(LEFT - MARGIN - width_of(name), TOP + (number + 0.5) * down - height_of() / 2, name)
        if width_of(name) < across:
            canvas.text(LEFT + (number + 0.5) * across - width_of(name) / 2, TOP + DOWN + MARGIN, name)
