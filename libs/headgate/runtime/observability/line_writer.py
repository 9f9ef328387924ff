"""Formats and writes log lines in a thread of its own, so that the work that logs them does not wait.

A write releases the interpreter's lock. In a busy process, getting it back takes longer than everything else about a
line. So one thread formats the waiting records and writes them together. Warnings and errors are written at once,
after all earlier lines.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

GATHER_SECONDS = 0.05
"""How long a line may wait. A process that is killed loses at most the lines of this time."""
MAX_LINES = 10_000
"""The most lines that wait. The thread that adds one more writes them all."""

CLOSE_SECONDS = 1.0


class LineWriter(logging.Handler):
    """A handler that writes within GATHER_SECONDS. Warnings, errors, `flush` and `close` write at once."""

    def __init__(self, stream: TextIO) -> None:
        self.lock = None
        self._stream = stream
        self._records: deque[logging.LogRecord] = deque()
        self._gathering = threading.Event()
        self._writing = threading.RLock()  # a field's own text may log
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_gathered, name="log-lines", daemon=True)
        self._thread.start()
        super().__init__()  # last, because from now on logging.shutdown in another thread may flush and close it

    def handle(self, record: logging.LogRecord) -> bool:
        """Takes no lock, because adding a record to the queue is atomic."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.msg, record.args = record.getMessage(), None  # the text of now, not of the time of writing
        except Exception:  # noqa: BLE001  # like every handler of the library: a bad record must not stop its caller
            return self.handleError(record)
        self._records.append(record)
        if record.levelno >= logging.WARNING or len(self._records) >= MAX_LINES or self._closing.is_set():
            self.flush()
        elif not self._gathering.is_set():
            self._gathering.set()

    def flush(self) -> None:
        """Writes all waiting lines. An error of the stream is ignored, because there is no other place to report it."""
        with self._writing, suppress(OSError, ValueError):
            lines = [line for record in self._gathered() if (line := self._line(record))]
            if lines:
                self._stream.write("".join(lines))
                self._stream.flush()

    def _gathered(self) -> Iterator[logging.LogRecord]:
        while self._records:
            yield self._records.popleft()

    def _line(self, record: logging.LogRecord) -> str:
        """The record's line. A record that cannot be formatted is reported and gives an empty text."""
        try:
            return self.format(record) + "\n"
        except Exception:  # noqa: BLE001  # the text of a field may raise anything
            self.handleError(record)
            return ""

    def close(self) -> None:
        self._closing.set()
        self._gathering.set()
        self._thread.join(CLOSE_SECONDS)
        self.flush()
        super().close()

    def _write_gathered(self) -> None:
        while not self._closing.is_set():
            self._gathering.wait()
            self._closing.wait(GATHER_SECONDS)
            self._gathering.clear()
            self.flush()
