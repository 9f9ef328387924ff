"""What is found out from rows and predictions as arrays: a threshold, slices, rows of test that stand in training."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import WrongMeaning, as_classes, as_probabilities
from headgate.artifacts.slices import WrongSlice, rows_in
from headgate.artifacts.thresholds import NoThreshold, choose
from headgate.v1 import configuration_pb2 as configuration
from services.trainer.child.failure import TrainingFailure
from services.trainer.job import Job

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]
ROWS_AT_ONCE = 4_096
"""So that no second copy of the rows is held."""


def check_slices(features: Arrays, job: Job) -> None:
    """Raises TrainingFailure when a slice of headgate.toml asks for what the rows do not have."""
    for each in job.slices:
        try:
            rows_in(configuration.Slice(**each), features)
        except WrongSlice as error:
            raise TrainingFailure(str(error)) from error


def require_positive(answers: Array, job: Job) -> None:
    """Raises TrainingFailure when a threshold is to be chosen on validation rows that can choose none."""
    if job.threshold_choice and not (answers == 1).any():
        raise TrainingFailure("evaluate.threshold: no validation row is positive, so none can be chosen")


def chosen_threshold(predictions: Array, answers: Array, job: Job) -> float:
    """By the choice of headgate.toml, on validation rows. Raises TrainingFailure."""
    choice = configuration.ThresholdChoice(**job.threshold_choice)
    try:
        return choose(choice, as_probabilities(predictions), as_classes(answers, 2))
    except (NoThreshold, WrongMeaning) as error:
        raise TrainingFailure(f"evaluate.threshold: {error}") from error


def leaked_rows(train: Iterable[Arrays], test: Arrays) -> int:
    """How many test rows have the same features as some training row, bit for bit."""
    hashes = Counter(_hashes(test))
    seen = {row for features in train for row in _hashes(features) if row in hashes}
    return sum(hashes[row] for row in seen)


def _hashes(features: Arrays) -> Iterator[int]:
    parts = [_bytes_of_rows(array) for _, array in sorted(features.items())]
    for row in zip(*parts, strict=True):
        yield hash(b"".join(row))


def _bytes_of_rows(array: Array) -> Iterator[bytes]:
    for first in range(0, len(array), ROWS_AT_ONCE):
        some = array[first : first + ROWS_AT_ONCE]
        if some.dtype == np.object_:
            # The length stands before each text, so that no two rows of texts give the same bytes.
            yield from ("".join(f"{len(text)}:{text}" for text in np.ravel(row)).encode() for row in some)
            continue
        # -0.0 and 0.0 are the same number.
        values = np.add(some, some.dtype.type(0)) if some.dtype.kind == "f" else some
        for row in np.ascontiguousarray(values).reshape(len(some), -1).view(np.uint8):
            yield row.tobytes()
