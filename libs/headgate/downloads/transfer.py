"""Downloads one file: reads its source to the end, goes on after an interruption, checks size and digest on the way."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Protocol

from headgate.downloads.faults import Interrupted, Refused, Stopped
from headgate.downloads.source import Head, Source

POLL_SECONDS = 0.1
WAITING_CHUNKS = 2
"""How many chunks may wait to be written. The source is read no further before."""
OUTAGE_SECONDS = 300.0
"""How long a store may fail without a new byte. Then the download is given up."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0

GiveUp = Callable[[], None]
"""Raises Stopped or Refused when the download shall not go on."""


class Sink(Protocol):
    """Where a download is written."""

    def begin(self, start: int, size: int | None) -> None:
        """Makes room for the size, and drops what was written from `start` on."""

    def write(self, chunk: bytes) -> None:
        """Writes the next bytes."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What helps with a file that is too large, and with one that has another digest; the ends of two refusals."""

    large: str = "Split it, or store it smaller"
    changed: str = "Restore it, or write its digest into headgate.toml"


DATA_ADVICE = Advice()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file by its digest, and how large it may be. `beside_bytes` is what the same attempt holds already."""

    sha256: str
    max_bytes: int
    beside_bytes: int = 0
    advice: Advice = DATA_ADVICE


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download may take, and how long it may go without a new byte."""

    seconds: float
    outage_seconds: float = OUTAGE_SECONDS
    first_pause_seconds: float = FIRST_PAUSE_SECONDS


class Ending:
    """When a download ends before its file is whole: on demand, or when its time is over."""

    def __init__(self, stop: threading.Event, patience: Patience, seconds_now: Callable[[], float] = time.monotonic):
        self.patience = patience
        self._stop = stop
        self._now = seconds_now
        self._ends_at = seconds_now() + patience.seconds
        self._fails_at = 0.0
        self._pause_seconds = 0.0
        self.progressed()

    def check(self) -> None:
        """Raises Stopped, or Refused when the time is over."""
        if self._stop.is_set():
            raise Stopped("the download was stopped")
        if self._now() > self._ends_at:
            raise Refused(f"the download took longer than {self.patience.seconds:g} s; ask the operator for more time")

    def progressed(self) -> None:
        """Notes that a byte came."""
        self._fails_at = self._now() + self.patience.outage_seconds
        self._pause_seconds = self.patience.first_pause_seconds

    def pause_after(self, fault: Interrupted) -> None:
        """Waits before the next try. Raises Refused when the store has failed for too long, and Stopped."""
        if self._now() > self._fails_at:
            raise Refused(f"{fault}. It failed for {self.patience.outage_seconds:g} s; try again later") from fault
        self.pause(self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Waits. Raises Stopped, or Refused when the time is over."""
        self._stop.wait(seconds)
        self.check()


def download(source: Source, sink: Sink, wanted: Wanted, ending: Ending) -> int:
    """Writes the whole file and returns its size. Raises Refused and Stopped; then what was written is worthless."""
    received = Received(source.name, sink, wanted)
    while True:
        try:
            for part in read_aside(lambda: source.parts(received.size), ending.check):
                received.take(part)
                ending.progressed()
            received.require_whole()
            if not received.restarts():
                return received.size
        except Interrupted as fault:
            ending.pause_after(fault)


class Received:
    """What has come of a file so far."""

    def __init__(self, name: str, sink: Sink, wanted: Wanted) -> None:
        self.size = 0
        self._name = name
        self._sink = sink
        self._wanted = wanted
        self._digest = hashlib.sha256()
        self._announced: int | None = None
        self._in_parts = False

    def take(self, part: Head | bytes) -> None:
        """The next part of the source. Raises Refused when the file becomes too large."""
        if isinstance(part, Head):
            self._begin(part)
            return
        self.size += len(part)
        self._require_size(self.size)
        self._digest.update(part)
        self._sink.write(part)

    def _begin(self, head: Head) -> None:
        if head.start != self.size:
            self.size, self._digest, self._in_parts = 0, hashlib.sha256(), False
        elif head.start:
            self._in_parts = True
        if head.size is not None:
            self._require_size(head.size)
        self._announced = head.size
        self._sink.begin(self.size, head.size)

    def _require_size(self, size: int) -> None:
        if size > self._wanted.max_bytes:
            limit = f"the limit is {self._wanted.max_bytes}. {self._wanted.advice.large}"
            raise Refused(f"{self._name} has {size} bytes or more; {limit}")

    def require_whole(self) -> None:
        """Raises Interrupted when bytes are missing."""
        if self._announced is not None and self.size < self._announced:
            raise Interrupted(f"{self._name}: the connection ended after {self.size} of {self._announced} bytes")

    def restarts(self) -> bool:
        """Whether to read again from the beginning, because the parts may be of two files. Raises Refused.

        That is so when the digest is wrong and the download had gone on after an interruption.
        """
        found = self._digest.hexdigest()
        if found == self._wanted.sha256:
            return False
        if self._in_parts:
            self.size, self._digest, self._in_parts = 0, hashlib.sha256(), False
            return True
        raise Refused(
            f"{self._name} has the SHA-256 {found}, not {self._wanted.sha256}: the file was changed, or another one"
            f" is meant. {self._wanted.advice.changed}"
        )


def read_aside(produce: Callable[[], Iterator[Head | bytes]], give_up: GiveUp) -> Iterator[Head | bytes]:
    """What `produce` yields, read in a thread of its own, so that its reader can give up while the store is silent."""
    parts: Queue[Head | bytes | Exception | None] = Queue(WAITING_CHUNKS)
    abandoned = threading.Event()
    threading.Thread(target=_read, args=(produce, parts, abandoned), name="download", daemon=True).start()
    try:
        while True:
            give_up()
            try:
                part = parts.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if part is None:
                return
            if isinstance(part, Exception):
                raise part
            yield part
    finally:
        abandoned.set()


def _read(
    produce: Callable[[], Iterator[Head | bytes]],
    into: "Queue[Head | bytes | Exception | None]",
    abandoned: threading.Event,
) -> None:
    def put(part: Head | bytes | Exception | None) -> bool:
        while not abandoned.is_set():
            try:
                into.put(part, timeout=POLL_SECONDS)
                return True
            except Full:
                continue
        return False

    try:
        with closing(produce()) as parts:  # type: ignore[type-var]  # every source is a generator
            if not all(put(part) for part in parts):
                return
    except Exception as error:  # noqa: BLE001  # it is raised where the parts are awaited
        put(error)
    else:
        put(None)
