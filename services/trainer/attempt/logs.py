"""What the stages of an attempt print: kept in the artifact store when they end, and shown before."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headgate.artifacts.store import ArtifactStore, StoreError
from headgate.domain.credentials import as_it_may_be_kept
from headgate.v1 import facts_pb2 as facts

MAX_LOG_BYTES = 1 << 20
"""The most that is kept of one log: its begin and its end."""
BEGIN_BYTES = 256 * 1024
END_BYTES = 64 * 1024
"""The most that is kept of one log of an attempt that ended without a report."""
MAX_LINE_BYTES = 64 * 1024
"""The most that is read at once from a log that is still written. A longer line is shown in parts."""

FILES = {
    facts.STAGE_PACKAGES: "packages.log",
    facts.STAGE_TESTS: "tests.log",
    facts.STAGE_TRAINING: "training.log",
    facts.STAGE_EXPORT: "training.log",
}
"""The log of each stage that runs foreign code or installs it, in the attempt's scratch directory."""
KEPT_AS = {facts.STAGE_EXPORT: facts.STAGE_TRAINING}
"""The export runs in the training process, and has no log of its own."""

logger = logging.getLogger(__name__)


def keep_log(store: ArtifactStore, scratch: Path, attempt: int, stage: facts.Stage.ValueType) -> facts.StageLog | None:
    """Stores the log of a stage that has ended. None for a stage without one, or when the store does not take it."""
    if stage not in FILES or not (scratch / FILES[stage]).is_file():
        return None
    text, left_out_bytes = bounded(scratch / FILES[stage])
    kept = facts.StageLog(
        attempt=attempt, stage=KEPT_AS.get(stage, stage), size_bytes=len(text), left_out_bytes=left_out_bytes
    )
    try:
        kept.sha256 = store.put(text) if text else ""
    except StoreError as error:
        logger.warning("a log is not kept", extra={"file": FILES[stage], "error": str(error)})
        return None
    return kept


def bounded(file: Path) -> tuple[bytes, int]:
    """The text without credentials, in at most about MAX_LOG_BYTES, and how many bytes are left out of its middle."""
    size = file.stat().st_size
    with file.open("rb") as log:
        if size <= MAX_LOG_BYTES:
            return shown(log.read()).encode(), 0
        # Cut between words, so that no address loses the part by which its password is known.
        begin = log.read(BEGIN_BYTES)
        begin = begin[: 1 + max(begin.rfind(space) for space in (b" ", b"\n"))]
        log.seek(size - (MAX_LOG_BYTES - BEGIN_BYTES))
        end = log.read()
        end = end[min((at for at in (end.find(b" "), end.find(b"\n")) if at >= 0), default=len(end)) :]
    left_out_bytes = size - len(begin) - len(end)
    return f"{shown(begin)}\n[{left_out_bytes} bytes are left out here]\n{shown(end)}".encode(), left_out_bytes


def end_of_log(file: Path) -> str:
    """The last lines of a log, in at most END_BYTES and without credentials; empty when there are none."""
    if not file.is_file():
        return ""
    with file.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - END_BYTES))
        end = log.read()
    if size <= END_BYTES:
        return shown(end)
    # Cut between lines, or between words, so that no address loses the part by which its password is known.
    space = re.search(rb"\n", end) or re.search(rb"\s", end)
    return f"[the lines before are not kept]\n{shown(end[space.end() :] if space else b'')}"


def shown(content: bytes) -> str:
    """The text of these bytes without credentials."""
    return as_it_may_be_kept(content.decode(errors="replace").replace("\0", ""))


class Growing:
    """Reads a log that is still written. The file stays open, so that its last lines outlive the scratch directory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._log: BinaryIO | None = None

    def new_text(self, to_the_end: bool) -> Iterator[str]:
        """The whole lines that are new; with `to_the_end` also one that has no end yet."""
        if self._log is None:
            if not self._file.is_file():
                return
            self._log = self._file.open("rb")
        while content := self._log.read(MAX_LINE_BYTES):
            end = content.rfind(b"\n") + 1
            if not end and (to_the_end or len(content) == MAX_LINE_BYTES):
                end = len(content)
            self._log.seek(end - len(content), os.SEEK_CUR)
            if not end:
                return
            yield shown(content[:end])

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
