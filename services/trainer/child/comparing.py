"""Whether two runs of a model give the same answers to the same rows, as arrays."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from headgate.artifacts import layout
from services.trainer.child.failure import ExportFailure

Answers = npt.NDArray[np.generic]
NamedAnswers = dict[str, Answers]
Floats = npt.NDArray[np.float64]

RELATIVE_TOLERANCE = 1e-4
"""Of the answer itself, or of the median of its column's answers that are not 0, whichever is larger."""
ABSOLUTE_TOLERANCE = 1e-5
"""Added to that, so that answers close to 0 may differ too."""
SAMPLED_ROWS = 8
"""Rows that are asked together, in two batches, and each alone; no more than run at once."""
DEPENDS = (
    "network: its answer to a row depends on the rows beside it, and callers send rows alone and beside any others."
    " Take what a row is compared with, such as a mean, from the training rows."
    " It gives"
)
CHANGES = (
    "network: it answers the same rows differently each time, as with a dropout that stays on in evaluation. It gives"
)


def require_same_answers(
    expected: NamedAnswers, found: NamedAnswers, scales: Mapping[str, Floats], fault: str, *where: str
) -> float:
    """The largest difference of all outputs. Raises ExportFailure as require_same does."""
    if list(found) != list(expected):
        raise ExportFailure(f"{fault}: {', '.join(expected)} {where[0]}, {', '.join(found)} {where[1]}")
    named = {name: fault if name == layout.OUTPUT else f"{fault} for the output {name}" for name in expected}
    here, there = where
    return max(require_same(expected[name], found[name], scales[name], named[name], here, there) for name in expected)


def require_steady(
    together: NamedAnswers,
    again: NamedAnswers,
    apart: Callable[[int], NamedAnswers],
    rows: int,
    scales: Mapping[str, Floats],
) -> None:
    """Raises ExportFailure when the same rows get other answers a second time, or in smaller batches.

    `together` and `again` answer all rows in one batch, `apart` in batches of at most so many rows.
    """
    require_same_answers(together, again, scales, CHANGES, "at first", "then")
    for size in parts_of(rows):
        require_same_answers(together, apart(size), scales, DEPENDS, in_words(rows), in_words(size))


def require_same(
    expected: Answers, found: Answers, scale: Floats, fault: str, expected_where: str, found_where: str
) -> float:
    """The largest difference. Raises ExportFailure with the fault and one of them when it is larger than it may be."""
    if found.dtype != expected.dtype:
        kinds = f"the datatype {expected.dtype} {expected_where}, {found.dtype} {found_where}"
        raise ExportFailure(f"{fault}: {kinds}")
    if found.shape != expected.shape:
        shapes = f"the shape {expected.shape} {expected_where}, {found.shape} {found_where}"
        raise ExportFailure(f"{fault}: {shapes}")
    if expected.dtype == np.object_:
        if not np.array_equal(expected, found):
            raise ExportFailure(f"{fault}: other texts {expected_where} than {found_where}")
        return 0.0
    here, there = expected.astype(np.float64), found.astype(np.float64)
    # Two equal infinities differ by 0, as do two that are not a number; their subtraction would give NaN.
    same = (here == there) | (np.isnan(here) & np.isnan(there))
    here, there = np.where(same, 0.0, here), np.where(same, 0.0, there)
    differences = np.abs(here - there)
    allowed = ABSOLUTE_TOLERANCE + relative_tolerance(expected) * np.maximum(np.abs(here), scale)
    beyond = ~(np.isfinite(differences) & (differences <= allowed))
    if beyond.any():
        place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
        answers = f"{here[place]:.9g} {expected_where}, {there[place]:.9g} {found_where}"
        raise ExportFailure(f"{fault}: {answers}; the limit is a difference of {allowed[place]:.3g}")
    return float(np.max(differences, initial=0.0))


def relative_tolerance(answers: Answers) -> float:
    """RELATIVE_TOLERANCE, or twice the distance of neighbouring values where the datatype is coarser than that."""
    if answers.dtype.kind != "f":
        return RELATIVE_TOLERANCE
    return max(RELATIVE_TOLERANCE, 2 * float(np.spacing(np.ones((), answers.dtype))))


def median_sizes(answers: Answers) -> Floats:
    """For each column the median size of its answers, without zeros and infinities; 0 where there is none.

    An answer near 0 that is a sum of large numbers is as inexact as they are.
    """
    if answers.dtype == np.object_:
        return np.zeros(answers.shape[1:])
    sizes = np.abs(answers.astype(np.float64)).reshape(len(answers), -1)
    medians = [
        float(np.median(usable)) if (usable := column[np.isfinite(column) & (column > 0)]).size else 0.0
        for column in sizes.T
    ]
    return np.array(medians).reshape(answers.shape[1:])


def parts_of(rows: int) -> tuple[int, ...]:
    """Batches of which sizes are tried: one row alone, half of the rows, all of them."""
    return 1, max(1, rows // 2), rows


def rows_in_words(count: int) -> str:
    return "one row alone" if count == 1 else f"a batch of {count} rows"


def in_words(count: int) -> str:
    return "for the row alone" if count == 1 else f"in {rows_in_words(count)}"
