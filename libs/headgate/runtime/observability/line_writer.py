"""Making and writing log lines off the path of the work that logs them.

A write lets go of the interpreter's lock, and getting it back in a busy process takes longer than all the rest of a
line. So one thread makes lines of what has gathered and writes them together. What tells of trouble is written at
once, after all that came before it.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

GATHER_SECONDS = 0.05
"""How long a line may wait: the most that is lost when the process is killed."""
MAX_LINES = 10_000
"""Lines that may wait; whoever adds one more writes them all."""
CLOSE_SECONDS = 1.0


class LineWriter(logging.Handler):
    """A handler that writes to the stream soon; at once from WARNING on, at `flush`, and when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        self.lock = None
        self._stream = stream
        self._records: deque[logging.LogRecord] = deque()
        self._gathering = threading.Event()
        self._writing = threading.RLock()  # a field's own text may log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="log-lines", daemon=True)
        self._thread.start()
        super().__init__()  # last: from here on another thread's logging.shutdown may flush and close it

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the handler's lock around it: adding a record to those that wait cannot be interrupted."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.msg, record.args = record.getMessage(), None  # as it is now, not when it is written
        except Exception:  # noqa: BLE001 - as every handler of the library does: a bad line stops nobody
            return self.handleError(record)
        self._records.append(record)
        if record.levelno >= logging.WARNING or len(self._records) >= MAX_LINES or self._over.is_set():
            self.flush()
        elif not self._gathering.is_set():
            self._gathering.set()

    def flush(self) -> None:
        """A stream that cannot be written to stops nobody: there is no other place to tell of it."""
        with self._writing, suppress(OSError, ValueError):
            lines = [line for record in self._gathered() if (line := self._line(record))]
            if lines:
                self._stream.write("".join(lines))
                self._stream.flush()

    def _gathered(self) -> Iterator[logging.LogRecord]:
        while self._records:
            yield self._records.popleft()

    def _line(self, record: logging.LogRecord) -> str:
        """Empty for a record that cannot be made one: it is reported, and takes no other with it."""
        try:
            return self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - whatever its fields do
            self.handleError(record)
            return ""

    def close(self) -> None:
        self._over.set()
        self._gathering.set()
        self._thread.join(CLOSE_SECONDS)
        self.flush()
        super().close()

    def _write_on(self) -> None:
        while not self._over.is_set():
            self._gathering.wait()
            self._over.wait(GATHER_SECONDS)
            self._gathering.clear()
            self.flush()
