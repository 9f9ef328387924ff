"""Whether the view is what the log says, byte for byte: invariant I4 as an operator checks it."""

from collections.abc import Iterator
from typing import NamedTuple

from headgate.domain.state import ModelState
from headgate.lifecycle.fold import Fold
from headgate.view.fields import Kind, Resource, resource_id
from headgate.view.folded import of_kind
from headgate.view.redis.reader import RedisReader

BATCH = 200


class Comparison(NamedTuple):
    """Rows that are equal, streams that stand elsewhere in the view, and what differs at the same head."""

    equal: int
    elsewhere: list[str]
    differences: list[str]


def compare(reader: RedisReader, fold: Fold) -> Comparison:
    """Compares every stream at whose head both stand, all the while. Raises RedisUnavailable."""
    before = reader.status().heads
    rows = {
        name: list(_differences(reader, stream.state))
        for name, stream in fold.streams.items()
        if isinstance(stream.state, ModelState) and stream.listed
    }
    after = reader.status().heads
    ours = {name: (stream.sequence, stream.digest) for name, stream in fold.streams.items()}
    steady = {name for name in ours if before.get(name) == ours[name] == after.get(name)}
    forked = [
        f"{name}: another fact at sequence {ours[name][0]}"
        for name in sorted(ours.keys() & after.keys())
        if after[name][0] == ours[name][0] and after[name] != ours[name]
    ]
    checked = [line for name in sorted(rows.keys() & steady) for line in rows[name]]
    differing = [line for line in checked if line]
    return Comparison(len(checked) - len(differing), sorted((ours.keys() | after.keys()) - steady), forked + differing)


def _differences(reader: RedisReader, state: ModelState) -> Iterator[str]:
    """One line per resource of the model, empty for one that is the same in the view."""
    for kind in Kind:
        resources = list(of_kind(state, kind))
        for start in range(0, len(resources), BATCH):
            batch = resources[start : start + BATCH]
            ids = [resource_id(resource) for resource in batch]
            for resource, theirs in zip(batch, reader.get(kind, ids)[0], strict=True):
                yield _difference(resource, theirs)


def _difference(ours: Resource, theirs: Resource | None) -> str:
    if theirs is None:
        return f"{ours.name}: not in the view"
    same = ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    return "" if same else f"{ours.name}: another state in the view"
