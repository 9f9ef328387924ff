"""The rows of a repository's datasets(context), checked before anything is trained on them.

Tensors and arrays keep their datatype. Lists have none: their fractions become float32, when that holds each exactly,
and their whole numbers int64.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headgate.artifacts.answers import ANY_CLASS, CUSTOM, MULTICLASS, WrongMeaning, check_answers
from headgate.artifacts.datatypes import PROTOCOL_TYPES
from headgate.artifacts.layout import Unclear, measured
from headgate.network_table import MAX_TENSORS, is_tensor_name
from services.trainer.child.array_rows import SPLITS
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.tensors import (
    Rows,
    Tensors,
    answers_by_name,
    count_rows,
    datatype,
    inputs,
    is_storable,
)
from services.trainer.job import Job

NO_ROWS = "there are no rows; each split needs some"
LOSSY = (
    "Give a tensor or an array, which keep their datatype, or convert the list where a rounded number means the same"
)


def checked_rows(
    found: Any, task: str, measured_answers: str = "", dimensions: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, Rows]:
    """What datasets(context) returned, as the network gets it. Raises TrainingFailure.

    `dimensions` are those of headgate.toml: where a size has a name, the splits may differ.
    """
    if not isinstance(found, Mapping) or not set(SPLITS) <= set(found):
        raise TrainingFailure(f"datasets(context): expected a dict of {', '.join(SPLITS)}")
    rows = {split: _checked(f"datasets(context): {split}", found[split], task, measured_answers) for split in SPLITS}
    for split in SPLITS[1:]:
        require_like(rows["train"], rows[split], split, dimensions)
    return rows


def checked_part(where: str, found: Any, job: Job) -> Rows:
    """A batch of one split. Raises TrainingFailure."""
    return _checked(where, found, job.task, job.measured)


def measured_answers_of(answers: Tensors, declared: str) -> Tensor:
    """The answers that the task is about. Raises Unclear."""
    named = answers_by_name(answers)
    return named[measured(named, declared)]


def _checked(where: str, found: Any, task: str, declared: str) -> Rows:
    if not isinstance(found, tuple | list) or len(found) != 2:
        size = f" of {len(found)}" if isinstance(found, tuple | list | Mapping) else ""
        raise TrainingFailure(
            f"{where}: expected (features, answers), got {type(found).__name__}{size}."
            " Give several features or answers as a dict by name"
        )
    features, answers = _tensors(f"{where}: features", found[0]), _tensors(f"{where}: answers", found[1])
    _require_rows(where, features, answers)
    try:
        if task != CUSTOM:
            _check_answers(measured_answers_of(answers, declared).numpy(), task)
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error
    except Unclear as error:
        raise TrainingFailure(f"{where}: expected one answer that the task is about, got {error}") from error
    return features, answers


def _tensors(where: str, values: Any) -> Tensors:
    if not isinstance(values, Mapping):
        return _tensor(where, values)
    names = [str(name) for name in values]
    wrong = next((name for name in names if not is_tensor_name(name)), None)
    if wrong is not None or not 0 < len(names) <= MAX_TENSORS:
        expected = f"1 to {MAX_TENSORS} tensors, each with a name of letters, digits and _"
        raise TrainingFailure(f"{where}: expected {expected}, got {len(names) if wrong is None else repr(wrong)}")
    return {str(name): _tensor(f"{where}: {name}", value) for name, value in values.items()}


def _tensor(where: str, values: Any) -> Tensor:
    try:
        found = values if isinstance(values, Tensor) else _from_numbers(where, values)
        if found.layout != torch.strided:
            raise TypeError(f"a tensor of the layout {found.layout}; to_dense() makes a usual one of it")
        found = found.detach().cpu().contiguous()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingFailure(f"{where}: expected a tensor, an array or a list of numbers: {error}") from error
    if not is_storable(found):
        expected = f"one of {', '.join(PROTOCOL_TYPES)}"
        raise TrainingFailure(f"{where}: no ONNX graph takes the datatype {datatype(found)}; convert it to {expected}")
    return found


def _from_numbers(where: str, values: Any) -> Tensor:
    array = np.ascontiguousarray(values) if np.ndim(values) else np.array(values)
    if isinstance(values, np.ndarray) or array.dtype != np.float64:
        return torch.from_numpy(array)
    # numpy reads fractions as doubles without rounding them; torch would round them in silence.
    as_floats = array.astype(np.float32)
    lost = (as_floats.astype(np.float64) != array) & ~np.isnan(array)
    if lost.any():
        place = [int(index) for index in np.argwhere(lost)[0]]
        value, became = array[tuple(place)].item(), float(as_floats[tuple(place)])
        found = f"{place_of(place)} is {value!r}, which would become {became!r} as float32"
        raise TrainingFailure(f"{where}: {found}. {LOSSY}")
    return torch.from_numpy(as_floats)


def _require_rows(where: str, features: Tensors, answers: Tensors) -> None:
    """Every tensor has the same number of rows, and there are some."""
    sizes = {name: tuple(tensor.shape) for name, tensor in inputs(features).items()}
    sizes |= {f"answers {name}": tuple(tensor.shape) for name, tensor in answers_by_name(answers).items()}
    counts = {shape[0] if shape else None for shape in sizes.values()}
    if len(counts) > 1 or None in counts:
        if isinstance(features, Tensor) and isinstance(answers, Tensor):
            shapes = f"{tuple(features.shape)} and {tuple(answers.shape)}"
        else:
            shapes = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
        raise TrainingFailure(f"{where}: expected as many answers as rows, got {shapes}")
    if count_rows(answers) == 0:
        raise TrainingFailure(f"{where}: {NO_ROWS}")


def _check_answers(answers: Any, task: str) -> None:
    check_answers(task, answers, ANY_CLASS if task == MULTICLASS else answers.shape[-1])


def require_like(train: Rows, other: Rows, split: str, dimensions: Mapping[str, Sequence[str]]) -> None:
    """The rows of every split have the same names, shapes and datatypes. Raises TrainingFailure."""
    shapes = [_shapes(features, dimensions) for features, _ in (train, other)]
    kinds = [_kinds(features) for features, _ in (train, other)]
    for what, (first, second) in (("shape", shapes), ("datatype", kinds)):
        if first != second:
            one, another = (
                next(iter(form.values())) if isinstance(rows[0], Tensor) else form
                for form, rows in ((first, train), (second, other))
            )
            found = f"the rows of train have the {what} {one}, those of {split} {another}"
            raise TrainingFailure(f"datasets(context): {found}")


def _shapes(features: Tensors, dimensions: Mapping[str, Sequence[str]]) -> dict[str, tuple[object, ...]]:
    """For each input the sizes of its dimensions besides the rows, or the name where a size may vary."""
    found: dict[str, tuple[object, ...]] = {}
    for name, tensor in inputs(features).items():
        names = dimensions.get(name, ())
        varies = [axis < len(names) and not names[axis].isdecimal() for axis in range(tensor.ndim)]
        found[name] = tuple(names[axis] if varies[axis] else tensor.shape[axis] for axis in range(1, tensor.ndim))
    return found


def _kinds(features: Tensors) -> dict[str, str]:
    return {name: datatype(tensor) for name, tensor in inputs(features).items()}


def place_of(place: list[int]) -> str:
    if len(place) == 1:
        return f"row {place[0]}"
    columns = ", ".join(str(index) for index in place[1:])
    return f"row {place[0]}, column {columns}"
