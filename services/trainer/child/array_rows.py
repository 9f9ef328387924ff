"""The rows of a repository that builds its ONNX file itself: arrays by name, as the file takes them.

Nothing is rounded: an array keeps its datatype, and one that the file does not take is refused. A list has no datatype,
so its numbers become what the file takes if that holds each of them exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headgate.artifacts.answers import ANY_CLASS, CUSTOM, MULTICLASS, MULTILABEL, WrongMeaning, check_answers
from headgate.artifacts.datatypes import PROTOCOL_TYPES, STRING
from headgate.artifacts.graphs import Graph, GraphTensor
from headgate.artifacts.layout import OUTPUT, Unclear, measured
from headgate.domain.words import counted
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.row_findings import Array, Arrays
from services.trainer.job import Job

SPLITS = ("train", "validation", "test")
LABELS_NDIM = 2
"""Of the answers of a multilabel task: rows and labels."""
WHERE = "datasets(context)"
EXPECTED = "a dict with test as (features, answers); train and validation are for leakage and a chosen threshold"


@dataclass(frozen=True, slots=True)
class Split:
    """Features as the repository gave them, or as the file takes them by name; and the answers by name."""

    features: Any
    answers: Arrays

    @property
    def count(self) -> int:
        return len(next(iter(self.answers.values())))


def read_splits(found: Any, job: Job) -> dict[str, Split]:
    """What datasets(context) returned, with checked answers; there is no file yet to check features with.

    Raises TrainingFailure.
    """
    if not isinstance(found, Mapping) or found.get("test") is None:
        shown = f"a dict of {', '.join(map(str, found)) or 'nothing'}" if isinstance(found, Mapping) else None
        raise TrainingFailure(f"{WHERE}: expected {EXPECTED}, got {shown or type(found).__name__}")
    if job.threshold_choice and found.get("validation") is None:
        raise TrainingFailure(f"{WHERE}: a threshold is chosen on the rows of validation, and there are none")
    return {split: _split(f"{WHERE}: {split}", found[split], job) for split in SPLITS if found.get(split) is not None}


def fitted(split: str, rows: Split, graph: Graph) -> Split:
    """The rows as the inputs of the file take them. Raises TrainingFailure."""
    where = f"{WHERE}: {split}: features"
    features = {
        tensor.name: _fitted(_named(where, tensor, graph), values, tensor)
        for tensor, values in _by_input(where, rows.features, graph)
    }
    wrong = next((name for name, array in features.items() if len(array) != rows.count), None)
    if wrong is not None:
        found = f"{counted(len(features[wrong]), 'row')} of {wrong} and {counted(rows.count, 'answer')}"
        raise TrainingFailure(f"{WHERE}: {split}: expected as many answers as rows, got {found}")
    return Split(features, rows.answers)


def _split(where: str, found: Any, job: Job) -> Split:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise TrainingFailure(f"{where}: expected (features, answers), got {type(found).__name__}")
    answers = found[1] if isinstance(found[1], Mapping) else {OUTPUT: found[1]}
    arrays = {str(name): _array(f"{where}: answers", values) for name, values in answers.items()}
    sizes = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise TrainingFailure(f"{where}: there are no rows, or not one answer for each; each split needs some")
    try:
        if job.task != CUSTOM:
            _check_answers(job.task, arrays[measured(arrays, job.measured)])
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error
    except Unclear as error:
        raise TrainingFailure(f"{where}: expected one answer that the task is about, got {error}") from error
    return Split(found[0], arrays)


def _check_answers(task: str, answers: Array) -> None:
    if answers.dtype == np.object_:
        raise WrongMeaning("the answers are text; give each class its number, from 0")
    if task == MULTILABEL and answers.ndim != LABELS_NDIM:
        expected = "expected a row of labels for each row, each 0 or 1"
        raise WrongMeaning(f"the answers have the shape {list(answers.shape)}: {expected}")
    check_answers(task, answers, ANY_CLASS if task == MULTICLASS else answers.shape[-1])


def _by_input(where: str, features: Any, graph: Graph) -> list[tuple[GraphTensor, Any]]:
    """Each input of the file with its values."""
    names = [tensor.name for tensor in graph.inputs]
    by_name = isinstance(features, Mapping) or (hasattr(features, "columns") and set(names) & set(features.columns))
    if not by_name:
        if len(names) == 1:
            return [(graph.inputs[0], features)]
        raise TrainingFailure(f"{where}: the file takes {', '.join(names)}; give a dict with an array for each")
    given = [str(name) for name in (features if isinstance(features, Mapping) else features.columns)]
    missing = next((name for name in names if name not in given), None)
    unknown = next((name for name in given if name not in names), None)
    if missing is not None or (unknown is not None and isinstance(features, Mapping)):
        fault = f"{missing} is missing" if missing is not None else f"it takes no {unknown}"
        raise TrainingFailure(f"{where}: the file takes {', '.join(names)}, and these are {', '.join(given)}: {fault}")
    return [(tensor, features[tensor.name]) for tensor in graph.inputs]


def _named(where: str, tensor: GraphTensor, graph: Graph) -> str:
    return where if len(graph.inputs) == 1 else f"{where}: {tensor.name}"


def _fitted(where: str, values: Any, tensor: GraphTensor) -> Array:
    array = _array(where, values, tensor.datatype)
    if array.dtype.name != tensor.datatype:
        advice = "" if tensor.datatype == STRING else f"; convert them, as by rows.astype(np.{tensor.datatype})"
        kinds = f"the file takes {_kind(tensor.datatype)} as {tensor.name}, and these are {_kind(array.dtype.name)}"
        raise TrainingFailure(f"{where}: {kinds}{advice}")
    if array.ndim == 1 and len(tensor.shape) == 2 and tensor.shape[1] in (1, ""):
        array = array.reshape(-1, 1)  # a column
    expected = [size if isinstance(size, int) else -1 for size in tensor.shape]
    fits = array.ndim == len(expected) and all(
        wanted in (-1, size) for wanted, size in zip(expected, array.shape, strict=True)
    )
    if not fits:
        sizes = f"rows of {expected[1:]} as {tensor.name}, where -1 is any size, and these are {list(array.shape[1:])}"
        raise TrainingFailure(f"{where}: the file takes {sizes}")
    return array


def _array(where: str, values: Any, datatype: str = "") -> Array:
    """The values as an array. `datatype` is what numbers in a list become, if none is changed by it."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        elif hasattr(values, "to_numpy"):
            values = values.to_numpy()
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingFailure(f"{where}: expected an array: {error}") from error
    if array.dtype.kind in "OU":
        return _text(where, array)
    if isinstance(values, list | tuple) and datatype in PROTOCOL_TYPES:
        converted = array.astype(datatype)
        if np.array_equal(converted.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"):
            array = converted
    if array.dtype.name not in PROTOCOL_TYPES:
        expected = f"one of {', '.join(PROTOCOL_TYPES)} or text"
        raise TrainingFailure(f"{where}: no ONNX graph takes the datatype {array.dtype}; convert it to {expected}")
    return array


def _text(where: str, array: Array) -> Array:
    texts = np.empty(array.shape, np.object_)
    for place, value in np.ndenumerate(array):
        if not isinstance(value, str):
            shown = f"row {place[0]} is {value!r}" if place else f"got {type(value).__name__}"
            raise TrainingFailure(f"{where}: expected numbers, or text in every row: {shown[:200]}")
        texts[place] = str(value)
    return texts


def _kind(datatype: str) -> str:
    return "text" if datatype == STRING else datatype
