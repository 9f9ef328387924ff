"""Looks through a store: which key wraps what, which objects lie in the clear; rewraps data keys, and encrypts objects.

All of it works while services read and write. A data key is rewritten as a whole, so its readers see it as it was or
as it is, and both keys unwrap.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from headgate.artifacts.blobs import StoreError
from headgate.artifacts.encryption import data_key_record
from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.store import ArtifactStore, translated

BLOBS, CHECKPOINTS = "blobs", "checkpoints"
UNUSED_MS = 3_600_000
"""A data key without its object is removed after this time: before, the object may be on its way."""


@dataclass(slots=True)
class Standing:
    """What a store holds."""

    wrapped_by: Counter[str] = field(default_factory=Counter)
    """Objects by the key that wraps their data keys."""
    clear: int = 0
    """Files and checkpoints in the clear."""
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Rotated:
    rewrapped: int = 0
    kept: int = 0
    """Data keys that the present key wraps already."""
    removed: int = 0
    """Data keys that no object needs any more."""
    problems: list[str] = field(default_factory=list)


@translated()
def standing(store: ArtifactStore) -> Standing:
    """Reads the head of each object and each data key. Raises StoreUnavailable."""
    found = Standing()
    for name, _ in _names(store):
        header = store.contents.header(name)
        if header is None:
            found.clear += 1
            continue
        record = store.contents.plain(data_key_record.path(header.data_key))
        try:
            if record is not None:
                found.wrapped_by[data_key_record.decode(record)[1].key_id] += 1
            elif store.contents.header(name) == header:
                found.problems.append(f"{name}: its data key is gone")
        except StoreError as error:
            found.problems.append(f"{name}: {error}")
    return found


@translated()
def rewrap(store: ArtifactStore, keys: KeyEncryption) -> Rotated:
    """Wraps each data key by the present key. What fails is a problem of one object, and the others go on.

    Raises StoreUnavailable, also KeyUnavailable when the present key is not there.
    """
    found, present, now_ms = Rotated(), keys.key_id(), store.time_ms()
    for record_name, at_ms in store.listed(data_key_record.FOLDER):
        record = store.contents.plain(record_name)
        if record is None:
            continue
        try:
            name, wrapped = data_key_record.decode(record)
            if _is_unused(store, name, record_name) and at_ms < now_ms - UNUSED_MS:
                store.contents.delete(record_name)
                found.removed += 1
            elif wrapped.key_id == present:
                found.kept += 1
            else:
                store.contents.write_plain(record_name, data_key_record.encode(name, keys.rewrap(wrapped, name)))
                found.rewrapped += 1
        except StoreError as error:
            found.problems.append(f"{record_name}: {error}")
    return found


def _is_unused(store: ArtifactStore, name: str, record_name: str) -> bool:
    header = store.contents.header(name)
    return header is None or data_key_record.path(header.data_key) != record_name


@translated()
def encrypt(store: ArtifactStore) -> tuple[int, list[str]]:
    """Encrypts the files in the clear; how many, and what could not be. Raises StoreUnavailable.

    Each is checked by its digest first. Checkpoints stay: the next epoch replaces them by encrypted ones.
    """
    count, problems = 0, []
    for name, _ in store.listed(BLOBS):
        if store.contents.header(name) is None and store.size_of(sha256 := name.rpartition("/")[2]):
            try:
                store.put(store.get(sha256))
                count += 1
            except StoreError as error:
                problems.append(f"{name}: {error}")
    return count, problems


def _names(store: ArtifactStore) -> Iterator[tuple[str, int]]:
    for folder in (BLOBS, CHECKPOINTS):
        yield from store.listed(folder)
