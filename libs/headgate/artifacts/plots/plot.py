"""What a plot shows, as data: it is written as JSON and drawn as a PNG."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Kind(StrEnum):
    LINES = "lines"
    POINTS = "points"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Series:
    """One curve, or one cloud of points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Plot:
    """`series` for lines and points. `cells` for a matrix: for each row of y, from the top, the numbers along x."""

    title: str
    x_label: str
    y_label: str
    kind: Kind
    series: Sequence[Series] = ()
    cells: Sequence[Sequence[int]] = ()
    names: Sequence[str] = ()
    """Of the rows and columns of a matrix."""
    shares: bool = False
    """Whether both axes are shares, from 0 to 1."""
    diagonal: bool = False
    """Whether the line from corner to corner is drawn, as what is expected of chance, or of a perfect calibration."""
    left_out_rows: int = 0
    """Rows whose prediction is not a finite number."""

    def as_json(self) -> dict[str, object]:
        return asdict(self)
