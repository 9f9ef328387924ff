"""Answers whose size follows from what is in a row, such as the boxes of a detector: ragged, as an array for each row.

A row alone has a size of its own. In a batch every row has the size of the largest, and whatever the model puts behind
the answers of the others. So what a row is answered alone is the beginning of what it is answered beside others.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Answers = npt.NDArray[Any]
VARIES = (
    "its size follows from what is in a row, and a metric of Headgate's takes as many numbers for each row. Take the"
    " task custom with metrics of your own, or fill the answers of each row up to one size"
)
ROWS_FIRST = (
    ". The first dimension of an output is the rows. Where each row has a number of answers of its own, such as boxes,"
    " answer [rows, number, ...] and fill up the rows with fewer"
)


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers to the rows of all parts: one array, or a ragged one where their sizes differ."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return ragged([row for part in parts for row in part])


def ragged(rows: Sequence[Answers]) -> Answers:
    """An array of arrays, one for each row."""
    found = np.empty(len(rows), np.object_)
    for place, row in enumerate(rows):
        found[place] = row
    return found


def is_ragged(answers: Answers) -> bool:
    return answers.dtype == np.object_ and answers.ndim == 1 and len(answers) > 0 and isinstance(answers[0], np.ndarray)


def shape_of(answers: Answers) -> tuple[int | None, ...]:
    """The shape, with None for a size that is not the same in all rows."""
    if not is_ragged(answers):
        return answers.shape
    sizes = zip(*(row.shape for row in answers), strict=True)
    return len(answers), *(each[0] if len(set(each)) == 1 else None for each in sizes)


def columns_of(answers: Answers) -> Answers:
    """The numbers by the last dimension where all rows have one size there, and as one column otherwise."""
    rows = list(answers) if is_ragged(answers) else [answers]
    last = {row.shape[-1] for row in rows if row.ndim > 1}
    columns = last.pop() if len(last) == 1 and all(row.ndim > 1 for row in rows) else 1
    return np.concatenate([row.reshape(-1, columns) for row in rows])
