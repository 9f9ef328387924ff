"""Compares the view with a fold of the log, byte for byte: an operator's check of invariant I4."""

from collections.abc import Iterator
from typing import NamedTuple

from headgate.domain.state import ModelState
from headgate.lifecycle.fold import Fold
from headgate.view.fields import Kind, Resource, resource_id
from headgate.view.folded import of_kind
from headgate.view.redis.reader import RedisReader

BATCH = 200


class Comparison(NamedTuple):
    """The number of equal rows, the streams that could not be compared, and one line for each difference."""

    equal: int
    not_compared: list[str]
    differences: list[str]


def compare(reader: RedisReader, fold: Fold) -> Comparison:
    """Compares every stream that has the same head in the view and in the fold, before and after the comparison.

    Raises RedisUnavailable.
    """
    before = reader.status().heads
    rows = {
        name: list(_differences(reader, stream.state))
        for name, stream in fold.streams.items()
        if isinstance(stream.state, ModelState) and stream.listed
    }
    after = reader.status().heads
    folded = {name: (stream.sequence, stream.digest) for name, stream in fold.streams.items()}
    comparable = {name for name in folded if before.get(name) == folded[name] == after.get(name)}
    forked = [
        f"{name}: another fact at sequence {folded[name][0]}"
        for name in sorted(folded.keys() & after.keys())
        if after[name][0] == folded[name][0] and after[name] != folded[name]
    ]
    checked = [line for name in sorted(rows.keys() & comparable) for line in rows[name]]
    differing = [line for line in checked if line]
    not_compared = sorted((folded.keys() | after.keys()) - comparable)
    return Comparison(len(checked) - len(differing), not_compared, forked + differing)


def _differences(reader: RedisReader, state: ModelState) -> Iterator[str]:
    """One line for each resource of the model; an empty line when the view has the same."""
    for kind in Kind:
        resources = list(of_kind(state, kind))
        for start in range(0, len(resources), BATCH):
            batch = resources[start : start + BATCH]
            ids = [resource_id(resource) for resource in batch]
            for resource, in_view in zip(batch, reader.get(kind, ids)[0], strict=True):
                yield _difference(resource, in_view)


def _difference(folded: Resource, in_view: Resource | None) -> str:
    if in_view is None:
        return f"{folded.name}: not in the view"
    same = folded.SerializeToString(deterministic=True) == in_view.SerializeToString(deterministic=True)
    return "" if same else f"{folded.name}: another state in the view"
