"""Rows that are read while they are used: a Dataset of torch, or an iterable of batches.

The training rows are read anew in each epoch, one batch at a time, so they may be larger than the memory. The rows of
validation and test are read once, up to a limit, because each epoch measures the ones and the artifact has the others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate

from headgate.artifacts.batches import batches
from headgate.artifacts.store import MAX_FILE_BYTES
from services.trainer.child.array_rows import SPLITS
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.rows import NO_ROWS, checked_part, require_like
from services.trainer.child.tensors import Rows, Tensors, answers_by_name, count_rows, datatype, inputs, part_of
from services.trainer.job import Job

MAX_HELD_BYTES = MAX_FILE_BYTES
"""Of the validation rows, and of the test rows, that are read batch by batch."""
TRAIN = "train"
ONCE = (
    "it can be read only once, and a training reads it in each epoch. Give an object that can be iterated again,"
    " or a function without parameters that returns an iterator"
)


SAME_SIZES = "all need the same. Where only a length differs, pad all batches of this split to one length"
PADDED = "Give items of one size and datatype, or a DataLoader whose collate_fn pads them"


@dataclass(frozen=True, slots=True)
class Stream:
    """The training rows of a repository that are read batch by batch."""

    source: Any
    first: Rows
    job: Job

    def batches(self, generator: torch.Generator) -> Iterator[Rows]:
        """The batches of one epoch. A Dataset is shuffled; batches come as the iterable gives them.

        Raises TrainingFailure for one that is not as the first.
        """
        order = torch.randperm(_size(self.source), generator=generator) if _is_indexed(self.source) else None
        for number, batch in enumerate(_batches(self.source, self.job.batch_size, order), start=1):
            where = f"datasets(context): train: batch {number}"
            rows = checked_part(where, batch, self.job)
            require_like(self.first, rows, f"batch {number} of train", self.job.dimensions)
            yield rows

    def generators(self) -> list[torch.Generator]:
        """Those of a DataLoader, which change from epoch to epoch."""
        found = [getattr(part, "generator", None) for part in (self.source, getattr(self.source, "sampler", None))]
        unique = {id(each): each for each in found if isinstance(each, torch.Generator)}
        return list(unique.values())


Read = Callable[[torch.Generator], Iterator[Rows]]
"""Gives the batches of one epoch."""


def in_memory(rows: Rows, batch_size: int) -> Read:
    """Batches of rows that are in the memory, shuffled anew in each epoch."""
    features, answers = rows
    count = count_rows(features)

    def read(generator: torch.Generator) -> Iterator[Rows]:
        order = torch.randperm(count, generator=generator)
        for part in batches(count, batch_size):
            chosen = order[part]
            yield part_of(features, chosen), part_of(answers, chosen)

    return read


def read_streams(found: Any, job: Job) -> tuple[Any, Stream | None]:
    """What datasets(context) returned with tensors for every split, and the stream of its training rows if it has one.

    Of such training rows the first batch stands for all of them. Raises TrainingFailure.
    """
    if not isinstance(found, Mapping) or not set(SPLITS) <= set(found):
        return found, None
    held, stream = dict(found), None
    for split in SPLITS:
        where = f"datasets(context): {split}"
        if not is_stream(found[split]):
            continue
        _require_again(where, found[split])
        if split == TRAIN:
            held[split] = _first(where, found[split], job)
            stream = Stream(found[split], held[split], job)
        else:
            held[split] = _whole(where, found[split], job)
    return held, stream


def is_stream(found: Any) -> bool:
    """Whether these are rows to be read, and not features with answers."""
    if isinstance(found, list) and found and all(isinstance(batch, tuple) for batch in found):
        return True
    if isinstance(found, tuple | list | Mapping | Tensor | str | bytes):
        return False
    return _is_indexed(found) or isinstance(found, Iterable) or callable(found)


def _require_again(where: str, source: Any) -> None:
    if isinstance(source, Iterator):
        raise TrainingFailure(f"{where}: {type(source).__name__}: {ONCE}")


def _first(where: str, source: Any, job: Job) -> Rows:
    batch = next(_batches(source, job.batch_size, None), None)
    if batch is None:
        raise TrainingFailure(f"{where}: {NO_ROWS}")
    return checked_part(f"{where}: batch 1", batch, job)


def _whole(where: str, source: Any, job: Job) -> Rows:
    parts: list[Rows] = []
    held_bytes = 0
    for number, batch in enumerate(_batches(source, job.batch_size, None), start=1):
        rows = checked_part(f"{where}: batch {number}", batch, job)
        _require_joinable(where, number, parts[0] if parts else rows, rows)
        tensors = (*inputs(rows[0]).values(), *answers_by_name(rows[1]).values())
        held_bytes += sum(tensor.nbytes for tensor in tensors)
        if held_bytes > MAX_HELD_BYTES:
            limit = f"{MAX_HELD_BYTES // 1024**2} MiB"
            raise TrainingFailure(f"{where}: there are more than {limit} of rows; only those of train may be more")
        parts.append(rows)
    if not parts:
        raise TrainingFailure(f"{where}: {NO_ROWS}")
    return _joined([features for features, _ in parts]), _joined([answers for _, answers in parts])


def _require_joinable(where: str, number: int, first: Rows, rows: Rows) -> None:
    for named, before, now in zip((inputs, answers_by_name), first, rows, strict=True):
        forms = [
            {name: (*tensor.shape[1:], datatype(tensor)) for name, tensor in named(part).items()}
            for part in (before, now)
        ]
        if forms[0] != forms[1]:
            fault = f"batch {number} has {_shown(forms[1])} and the first {_shown(forms[0])}"
            raise TrainingFailure(f"{where}: {fault}; {SAME_SIZES}")


def _shown(form: Mapping[str, tuple[object, ...]]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, sizes))}]" for name, sizes in form.items())


def _joined(parts: list[Tensors]) -> Tensors:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return {name: torch.cat([dict(part)[name] for part in parts if not isinstance(part, Tensor)]) for name in first}


def _batches(source: Any, batch_size: int, order: Tensor | None) -> Iterator[Any]:
    """The batches of a Dataset in this order, or those of the iterable."""
    if _is_indexed(source):
        rows = order.tolist() if order is not None else range(_size(source))
        for part in batches(len(rows), batch_size):
            yield _collated([source[row] for row in rows[part]])
        return
    found = iter(source()) if callable(source) and not isinstance(source, Iterable) else iter(source)
    if not isinstance(source, IterableDataset):
        yield from found
        return
    items: list[Any] = []
    for item in found:
        items.append(item)
        if len(items) == batch_size:
            yield _collated(items)
            items = []
    if items:
        yield _collated(items)


def _collated(items: list[Any]) -> Any:
    """One batch of the items of a Dataset, each of which is (features, answers)."""
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            shown = f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
            raise TrainingFailure(
                f"datasets(context): expected (features, answers) as an item of the Dataset, got {shown}."
                " Give several features or answers as a dict by name"
            )
    try:
        return default_collate(items)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TrainingFailure(
            f"datasets(context): the items of the Dataset do not fit into one batch: {error}. {PADDED}"
        ) from error


def _is_indexed(source: Any) -> bool:
    """Whether this is a Dataset whose items have numbers."""
    return isinstance(source, Dataset) and not isinstance(source, IterableDataset) and hasattr(source, "__len__")


def _size(source: Any) -> int:
    return len(source)
