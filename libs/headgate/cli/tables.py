"""Lays out tables and pages as text: for a terminal of a given width, or, without a width, for a pipe.

What goes into a pipe depends on the data alone: every column, nothing wrapped, no colour.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

GAP = "  "
WRAPPED_WIDTH = 20
"""Columns of text wrap down to this width before a column is left out. A time fits into it."""
MAX_CELL_LINES = 6
"""A cell of a list is cut after so many lines. The page of its resource, a wide table and a pipe have all of it."""
END_LINES = 3
"""How many of these lines are the end of a cell whose end counts."""
CUT = "…"
WORDS = re.compile(r"(?<!\d) | (?!(?:d|h|min|s|ms|%)(?:\W|$))")
"""The spaces between words, but none between a number and its unit."""
TOGETHER_WIDTH = 30
"""What stands between double spaces stays together up to this width: a metric and its value."""


class Column(NamedTuple):
    """One column of a list, or one line of a page.

    In a narrow terminal the columns of the highest rank are left out first; rank 0 stays. A block stands below the
    other lines of its page, as it is: a log keeps its own lines. Where `end_counts`, columns of a rank are left out
    before a cell is cut, and a cell that is cut even then keeps its begin and its end.
    """

    name: str
    cell: Callable[[Any], str]
    rank: int = 0
    is_block: bool = False
    end_counts: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """The width of a column's content, the least width it can be wrapped to, and its rank."""

    widest: int
    narrowest: int
    rank: int


def table_text(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[str, Sequence[str]]:
    """The table as lines of text, and the names of the columns that did not fit into `width`.

    A terminal gets no column that is empty in every row.
    """
    shown = [n for n in range(len(columns)) if width is None or any(row[n] for row in rows)]
    content = [[columns[n].name, *(row[n] for row in rows)] for n in shown]
    widths = [max(map(cell_len, cells)) for cells in content]
    if width is not None:
        measured = [_measured(cells, columns[n], width) for n, cells in zip(shown, content, strict=True)]
        widths = fitting(measured, width)
    kept = [(n, cells, room) for n, cells, room in zip(shown, content, widths, strict=True) if room]
    rooms, end_counts = [room for _, _, room in kept], [columns[n].end_counts for n, _, _ in kept]
    lines = [_line(cells, rooms, end_counts) for cells in zip(*(cells for _, cells, _ in kept), strict=True)]
    return "\n".join(lines), [columns[n].name for n, room in zip(shown, widths, strict=True) if not room]


def page_text(values: Mapping[str, str], width: int | None) -> str:
    """One line for each value that is not empty: its name, then the value, which wraps beside its name."""
    filled = {name: value for name, value in values.items() if value}
    label = max(map(cell_len, filled), default=0)
    room = None if width is None else max(width - label - len(GAP), WRAPPED_WIDTH)
    lines = []
    for name, value in filled.items():
        parts = [part for line in value.split("\n") for part in _wrapped(line, room)]
        lines += [_padded([name if n == 0 else "", part], [label, 0]) for n, part in enumerate(parts)]
    return "\n".join(lines)


def fitting(columns: Sequence[Measured], width: int) -> list[int]:
    """The width of each column, 0 for one that is left out.

    Columns wrap first. If that is not enough, those of the highest rank are left out, the last one first. If even that
    is not enough, the words of the widest columns are cut.
    """
    kept = dict(enumerate(columns))
    by_rank = sorted((n for n in kept if kept[n].rank), key=lambda n: (kept[n].rank, n))
    while by_rank and _needed(column.narrowest for column in kept.values()) > width:
        del kept[by_rank.pop()]
    widths = {n: column.narrowest for n, column in kept.items()}
    while (missing := _needed(widths.values()) - width) > 0 and max(widths.values()) > WRAPPED_WIDTH:
        widest = max(widths, key=lambda n: widths[n])
        widths[widest] = max(WRAPPED_WIDTH, widths[widest] - missing)
    spare = width - _needed(widths.values())
    growing = sorted((n for n in kept if kept[n].widest > widths[n]), key=lambda n: kept[n].widest - widths[n])
    while growing and spare > 0:
        more = min(kept[growing[0]].widest - widths[growing[0]], spare // len(growing))
        widths[growing.pop(0)] += more
        spare -= more
    return [widths.get(n, 0) for n in range(len(columns))]


def _needed(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + len(GAP) * max(len(found) - 1, 0)


def _measured(cells: Sequence[str], column: Column, width: int) -> Measured:
    widest = max(map(cell_len, cells))
    is_text = any(" " in cell for cell in cells[1:])
    rooms = [(cell, TOGETHER_WIDTH if GAP in cell else 0) for cell in cells]
    longest = max(cell_len(part) for cell, room in rooms for part, _ in _parts(cell, room, is_whole=True))
    narrowest = min(widest, max(WRAPPED_WIDTH, longest)) if is_text else widest
    return Measured(widest, _whole(cells, narrowest, width) if column.end_counts else narrowest, column.rank)


def _whole(cells: Sequence[str], narrowest: int, width: int) -> int:
    """The least width from `narrowest` on at which no cell is cut; at most `width`."""
    room = narrowest
    while room < width and any(len(_wrapped(cell, room)) > MAX_CELL_LINES for cell in cells):
        room += 1
    return room


def _line(cells: Sequence[str], widths: Sequence[int], end_counts: Sequence[bool]) -> str:
    parts = [
        _cut(_wrapped(cell, room), room, has_end) for cell, room, has_end in zip(cells, widths, end_counts, strict=True)
    ]
    return "\n".join(_padded(line, widths) for line in zip_longest(*parts, fillvalue=""))


def _cut(lines: Sequence[str], room: int, end_counts: bool) -> Sequence[str]:
    """The first lines of a wrapped cell, with a mark where others are left out: before its end if that counts."""
    if len(lines) <= MAX_CELL_LINES:
        return lines
    end = lines[-END_LINES:] if end_counts else []
    begin = lines[: MAX_CELL_LINES - len(end)]
    last = set_cell_size(begin[-1], room - 1).rstrip() if cell_len(begin[-1]) >= room else begin[-1]
    return [*begin[:-1], last + CUT, *end]


def _wrapped(cell: str, room: int | None) -> Sequence[str]:
    if room is None or cell_len(cell) <= room:
        return [cell]
    lines = [""]
    for part, gap in _parts(cell, room):
        joined = f"{lines[-1]}{gap}{part}" if lines[-1] else part
        if cell_len(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _parts(cell: str, room: int, is_whole: bool = False) -> Iterator[tuple[str, str]]:
    """What stays together on a line, each with the gap before it: parts between double spaces, else words.

    A number stays with its unit.

    A word that is wider than the room is cut, unless `is_whole`.
    """
    for block in cell.split(GAP):
        if cell_len(block) <= room:
            yield block, GAP
            continue
        for number, word in enumerate(WORDS.split(block)):
            pieces = [word] if is_whole else _pieces(word, room)
            yield from ((piece, " " if number else GAP) for piece in pieces)


def _pieces(word: str, room: int) -> Iterator[str]:
    while cell_len(word) > room:
        fits = len(set_cell_size(word, room).rstrip())
        yield word[:fits]
        word = word[fits:]
    yield word


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (room - cell_len(cell)) for cell, room in zip(cells, widths, strict=True))
    return GAP.join(padded).rstrip()
