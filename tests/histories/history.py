"""A recorded history: records of headgate.lifecycle, and the result of folding them.

A file has JSON lines. The first line has a sentence about the history and the result of its fold: the digests of each
stream, the number of void records, and the faults of some of them. Each further line is one record: its partition,
its offset and its value in base64.
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
"""A history shows one thing. For a larger log, name the streams that it needs."""


class Entry(NamedTuple):
    """One record of the log."""

    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The end of a stream: its head and the digest of its state, in hex, and whether its fold stopped."""

    stream: str
    sequence: int
    head_digest: str
    state_digest: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """The result of folding a history."""

    streams: tuple[StreamEnd, ...]
    void_records: int
    # "partition/offset code" of each record that no registry can have written.
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The content of a file."""

    about: str
    ending: Ending
    entries: tuple[Entry, ...]


def ending_of(entries: Sequence[Entry]) -> Ending:
    """Folds the records in their order, and returns the result."""
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
    """Writes a new history. Raises FileExistsError when the file exists, ValueError when it would be too large."""
    lines = [json.dumps({"about": about, **asdict(ending_of(entries))})]
    lines += [
        json.dumps({"partition": each.partition, "offset": each.offset, "value": base64.b64encode(each.value).decode()})
        for each in entries
    ]
    text = "\n".join(lines) + "\n"
    if len(text) > MAX_BYTES:
        raise ValueError(
            f"the history has {len(text)} bytes, at most {MAX_BYTES} are allowed: name the streams it needs"
        )
    with path.open("x") as file:
        file.write(text)


def read(path: Path) -> History:
    """The history in a file."""
    header, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    streams = tuple(StreamEnd(**stream) for stream in header["streams"])
    entries = tuple(Entry(row["partition"], row["offset"], base64.b64decode(row["value"])) for row in rows)
    return History(header["about"], Ending(streams, header["void_records"], tuple(header["faults"])), entries)
