"""The rows of a repository's datasets(context), checked before anything is trained on them.

Features become float32. Answers become int64 for classes and float32 otherwise. A value that would not be the same
after that is refused: only the authors can say whether a rounded number still means what they meant.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headgate.artifacts.answers import MULTICLASS, WrongMeaning, check_answers
from services.trainer.child.failure import TrainingFailure

Rows = tuple[Tensor, Tensor]

SPLITS = ("train", "validation", "test")
KNOWN = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
)  # fmt: skip
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
MAX_CLASS = 2**31 - 1
ADVICE = "Scale or encode such numbers, or convert them in datasets(context) where a rounded one means the same"


def checked_rows(found: Any, task: str) -> dict[str, Rows]:
    """What datasets(context) returned, as the network gets it. Raises TrainingFailure."""
    if not isinstance(found, Mapping) or not set(SPLITS) <= set(found):
        raise TrainingFailure(f"datasets(context): expected a dict of {', '.join(SPLITS)}")
    rows = {split: _checked(f"datasets(context): {split}", found[split], task) for split in SPLITS}
    for split in SPLITS[1:]:
        _require_like(rows["train"], rows[split], split)
    return rows


def _checked(where: str, found: Any, task: str) -> Rows:
    try:
        features, answers = (_tensor(values) for values in found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingFailure(f"{where}: expected (features, answers), got {error}") from error
    if features.ndim < 2 or answers.ndim < 1 or len(features) == 0 or len(answers) != len(features):
        shapes = f"{tuple(features.shape)} and {tuple(answers.shape)}"
        raise TrainingFailure(f"{where}: expected as many answers as rows, got {shapes}")
    kind = torch.int64 if task == MULTICLASS else torch.float32
    features = _same(f"{where}: features", features, torch.float32)
    answers = _same(f"{where}: answers", answers, kind)
    try:
        _check_answers(answers.numpy(), task)
    except WrongMeaning as error:
        raise TrainingFailure(f"{where}: {error}") from error
    return features, answers


def _tensor(values: Any) -> Tensor:
    # numpy reads lists of numbers without rounding them; torch would make float32 of them.
    found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    return found.detach().cpu()


def _same(where: str, values: Tensor, kind: torch.dtype) -> Tensor:
    """The values in the other datatype. Raises TrainingFailure for the first one that is not the same there."""
    if values.dtype == kind:
        return values.contiguous()
    if values.dtype not in KNOWN:
        raise TrainingFailure(
            f"{where}: expected numbers that {_name(kind)} can hold, got the datatype {_name(values.dtype)}"
        )
    changed = values.to(kind).contiguous()
    lost = _lost(values, changed)
    if lost.any():
        place = [int(index) for index in torch.nonzero(lost)[0]]
        value, became = (each[tuple(place)].item() for each in (values, changed))
        found = f"{_place(place)} is {value!r} ({_name(values.dtype)})"
        raise TrainingFailure(f"{where}: {found}, which would become {became!r} as {_name(kind)}. {ADVICE}")
    return changed


def _lost(before: Tensor, after: Tensor) -> Tensor:
    """Where the two differ. A number that is not a number is kept as such, and whole numbers are compared as such."""
    if before.dtype in WHOLE and after.is_floating_point():
        # 2**63 is no int64: a float that rounded up to it would come back as something arbitrary.
        beyond = after >= 2.0**63
        return beyond | (torch.where(beyond, 0, after).to(torch.int64) != before.to(torch.int64))
    if before.is_floating_point() and not after.is_floating_point():
        inside = before.abs() < 2.0**63
        return ~inside | (torch.where(inside, before, 0).trunc() != before)
    back = after.to(before.dtype)
    return (back != before) & ~(back.isnan() & before.isnan())


def _check_answers(answers: Any, task: str) -> None:
    check_answers(task, answers, MAX_CLASS if task == MULTICLASS else answers.shape[-1])


def _require_like(train: Rows, other: Rows, split: str) -> None:
    shapes = [tuple(features.shape[1:]) for features, _ in (train, other)]
    if shapes[0] != shapes[1]:
        raise TrainingFailure(
            f"datasets(context): the rows of train have the shape {shapes[0]}, those of {split} {shapes[1]}"
        )


def _place(place: list[int]) -> str:
    if len(place) == 1:
        return f"row {place[0]}"
    columns = ", ".join(str(index) for index in place[1:])
    return f"row {place[0]}, column {columns}"


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
