"""Whether two runs of a model give the same answers to the same rows, as arrays."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from headgate.artifacts import layout
from services.trainer.child.failure import ExportFailure
from services.trainer.child.ragged import Answers, columns_of, is_ragged

NamedAnswers = dict[str, Answers]
Parts = Iterable[tuple[slice, NamedAnswers]]
"""Which rows a batch had, and its answers."""
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
    apart: Callable[[int], Parts],
    rows: int,
    scales: Mapping[str, Floats],
) -> bool:
    """Whether rows have another size beside others. Raises ExportFailure when they get other answers beside others, or
    a second time.

    `together` and `again` answer all rows in one batch, `apart` in batches of at most so many rows.
    """
    require_same_answers(together, again, scales, CHANGES, "at first", "then")
    found = (
        require_same_beginnings(together, apart(size), scales, DEPENDS, in_words(rows), in_words(size))
        for size in parts_of(rows)
    )
    return any(list(found))


def require_same_beginnings(
    together: NamedAnswers, apart: Parts, scales: Mapping[str, Floats], fault: str, *where: str
) -> bool:
    """Whether rows have another size together than apart. What they are answered apart is then the beginning.

    Raises ExportFailure when it is not.
    """
    longer = False
    for rows, answers in apart:
        beside = {name: _beginning(array[rows], answers.get(name)) for name, array in together.items()}
        longer = longer or any(beside[name].shape != array[rows].shape for name, array in together.items())
        require_same_answers(beside, answers, scales, fault, *where)
    return longer


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
    sizes = np.maximum(np.abs(here), _scale_for(scale, expected))
    allowed = ABSOLUTE_TOLERANCE + relative_tolerance(expected) * sizes
    beyond = ~(np.isfinite(differences) & (differences <= allowed))
    if beyond.any():
        place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
        answers = f"{here[place]:.9g} {expected_where}, {there[place]:.9g} {found_where}"
        raise ExportFailure(f"{fault}: {answers}; the limit is a difference of {allowed[place]:.3g}")
    return float(np.max(differences, initial=0.0))


def relative_tolerance(answers: Answers) -> float:
    """RELATIVE_TOLERANCE, or twice the distance of neighbouring values where the datatype is coarser than that."""
    answers = answers[0] if is_ragged(answers) else answers
    if answers.dtype.kind != "f":
        return RELATIVE_TOLERANCE
    return max(RELATIVE_TOLERANCE, 2 * float(np.spacing(np.ones((), answers.dtype))))


def median_sizes(answers: Answers) -> Floats:
    """For each column the median size of its answers, without zeros and infinities; 0 where there is none.

    An answer near 0 that is a sum of large numbers is as inexact as they are. Of ragged answers, columns are those of
    their last dimension.
    """
    answers = columns_of(answers) if is_ragged(answers) else answers
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


def _beginning(beside: Answers, alone: Answers | None) -> Answers:
    """Of what rows are answered beside others, as much as they are answered alone; all where that is not less."""
    if alone is None or beside.ndim != alone.ndim or len(beside) != len(alone):
        return beside
    if any(there < here for there, here in zip(beside.shape, alone.shape, strict=True)):
        return beside
    return beside[tuple(map(slice, alone.shape))]


def _scale_for(scale: Floats, answers: Answers) -> Floats:
    """The scale of each column, also for answers of another size than those that it was taken from."""
    if scale.shape == answers.shape[1:]:
        return scale
    has_columns = scale.ndim > 0 and answers.ndim > 2 and scale.shape[-1] == answers.shape[-1]
    largest: Floats = scale.reshape(-1, answers.shape[-1] if has_columns else 1).max(axis=0, initial=0.0)
    return largest
