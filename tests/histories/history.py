"""A recorded history: the records of headgate.lifecycle as a log held them, and what they fold to.

A file is JSON lines. The first line says what the history shows and what a fold of it gives: the digests of each
stream, the number of void records, and what is wrong with some of them. Each further line is one record: its
partition, its offset and its value in base64.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from headgate.lifecycle.digest import fold_digest
from headgate.lifecycle.fold import Fold

FOLDER = Path(__file__).parent
MAX_BYTES = 64 * 1024
"""A history shows one thing: whoever needs more than this records the streams that matter."""


class Entry(NamedTuple):
    """One record of the log."""

    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Where a stream ends: its head and the digest of its state, in hex, and why it stopped if it did."""

    stream: str
    sequence: int
    head_digest: str
    state_digest: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """What a fold of a history gives."""

    streams: tuple[StreamEnd, ...]
    void_records: int
    # "partition/offset code" of each record that no registry can have written.
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What a file holds."""

    about: str
    ending: Ending
    entries: tuple[Entry, ...]


def ending_of(entries: Sequence[Entry]) -> Ending:
    """Folds the records in their order."""
    fold = Fold()
    faults = []
    for partition, offset, value in entries:
        fold.fault = None
        fold.fold(partition, offset, value)
        if fold.fault is not None:
            faults.append(f"{partition}/{offset} {fold.fault.code}")
    streams = tuple(
        StreamEnd(
            each.stream,
            each.sequence,
            each.head_digest.hex(),
            each.state_digest.hex(),
            bool(fold.streams[each.stream].broken),
        )
        for each in fold_digest(fold).streams
    )
    return Ending(streams, fold.void_records, tuple(faults))


def write(path: Path, about: str, entries: Sequence[Entry]) -> None:
    """Writes a new history. Raises FileExistsError for one that is there, ValueError for one that is too large."""
    lines = [json.dumps({"about": about, **asdict(ending_of(entries))})]
    lines += [
        json.dumps({"partition": each.partition, "offset": each.offset, "value": base64.b64encode(each.value).decode()})
        for each in entries
    ]
    text = "\n".join(lines) + "\n"
    if len(text) > MAX_BYTES:
        raise ValueError(f"the history has {len(text)} bytes, at most {MAX_BYTES} are kept: name the streams it needs")
    with path.open("x") as file:
        file.write(text)


def read(path: Path) -> History:
    """The history in a file."""
    header, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    streams = tuple(StreamEnd(**stream) for stream in header["streams"])
    entries = tuple(Entry(row["partition"], row["offset"], base64.b64decode(row["value"])) for row in rows)
    return History(header["about"], Ending(streams, header["void_records"], tuple(header["faults"])), entries)
