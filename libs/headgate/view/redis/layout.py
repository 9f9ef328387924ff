"""The layout of the view in Redis: its keys, and each resource as a row with its index entries. Pure.

headgate:{view}:current names the generation that readers use. All keys of a generation have its own prefix. So a new
generation is built beside the old one and replaces it by one write. The braces keep all keys in one slot of a cluster.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind, Resource, resource_id, sort_values, terms

SCHEMA = 3
"""Raise it when the meaning of a key, a row or an index changes: then registries build the view again."""

ROOT = "headgate:{view}:"
CURRENT = f"{ROOT}current"
GENERATIONS = f"{ROOT}generations"
LEASE = f"{ROOT}rebuilding"
REBUILD_REQUEST = f"{ROOT}wanted"
CHANGES = f"{ROOT}changes"

_TYPES: Mapping[Kind, type[Resource]] = {
    Kind.MODEL: resources.Model,
    Kind.VERSION: resources.Version,
    Kind.RELEASE: resources.Release,
}


class Row(NamedTuple):
    """A resource in Redis: its canonical bytes, and its index entries as JSON."""

    kind: str
    id: str
    data: bytes
    entries: str


def prefix_of(generation: str) -> str:
    """The prefix of all keys of a generation."""
    return f"{ROOT}{generation}:"


def schema_of(generation: str) -> int:
    """The schema in a generation's name; 0 when the name has another form."""
    schema = generation.partition(":")[0]
    return int(schema) if schema.isdecimal() else 0


def fixed_keys(generation: str) -> list[str]:
    """The keys that every generation has. Its set `keys` holds the names of its index keys."""
    names = ["positions", "heads", "keys", *(kind.value for kind in Kind), *(f"index:{kind.value}" for kind in Kind)]
    return [prefix_of(generation) + name for name in names]


def row(kind: Kind, data: bytes) -> Row:
    """The row of a resource, from its canonical bytes."""
    resource = parsed(kind, data)
    entries = {
        "t": [term_key(kind, term) for term in terms(kind, resource)],
        "o": {order_key(kind, path): repr(value) for path, value in sort_values(kind, resource)},
    }
    return Row(kind.value, resource_id(resource), data, json.dumps(entries, separators=(",", ":")))


def parsed(kind: Kind, data: bytes) -> Resource:
    """The resource in a row's bytes. Raises DecodeError."""
    return _TYPES[kind].FromString(data)


def term_key(kind: Kind, term: str) -> str:
    """The key of the set of ids for which an equality holds. It is hashed, because a value may be long."""
    return f"t:{kind.value}:{hashlib.sha256(term.encode()).hexdigest()[:20]}"


def order_key(kind: Kind, path: str) -> str:
    """The key of the sorted set of ids in an order."""
    return f"o:{kind.value}:{path}"


def head(sequence: int, digest: bytes) -> str:
    """A stream's head as text in the view."""
    return f"{sequence}:{digest.hex()}"


def head_of(text: str) -> tuple[int, bytes]:
    """The sequence and the digest of a head. Raises ValueError for an invalid text."""
    sequence, _, digest = text.partition(":")
    return int(sequence), bytes.fromhex(digest)
