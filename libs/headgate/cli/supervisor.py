"""Starts the processes of `headgate up`, restarts those that crash, and stops them all."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from headgate.runtime.parent import PARENT_VARIABLE
from headgate.runtime.restarts import Restarts, how_it_ended
from headgate.runtime.service import FATAL_EXITS

STOP_SECONDS = 20.0
"""How long the children may take to end after SIGTERM."""
MAX_ERROR_OUTPUT_BYTES = 8 * 1024
"""How much of a child's output is searched for the reason why it ended."""
MAX_LOG_BYTES = 16 * 1024 * 1024
"""A larger log file is set aside. One older file is kept."""


@dataclass(frozen=True, slots=True)
class Program:
    """One child process: its command, its environment and the file for its output."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log_file: Path


@dataclass(slots=True)
class _Child:
    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_at: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    # Where this child's output begins in the file; before it stands the output of earlier children.
    output_start: int = 0


class FatalExit(Exception):
    """A child ended for a reason that a restart does not change."""


class Supervisor:
    """Keeps the children running. Call all methods from one thread: the children end when this thread ends."""

    def __init__(
        self,
        programs: Sequence[Program],
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._report = report
        self._clock = clock

    def poll(self) -> None:
        """Handles children that ended and starts those that are due. Call it a few times a second. Raises FatalExit."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._handle_exit(child, child.process.returncode)
            if child.process is None and self._clock() >= child.start_at:
                self._start(child)
            _limit_size(child.program.log_file)

    def stop(self) -> None:
        """Ends every child: SIGTERM, a bounded wait, then SIGKILL to its process group."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()

    def pids(self) -> dict[str, int]:
        return {child.program.name: child.process.pid for child in self._children if child.process is not None}

    def _start(self, child: _Child) -> None:
        program = child.program
        environ = {**os.environ, **program.environ, PARENT_VARIABLE: str(os.getpid())}
        with _open_log(program.log_file) as output:
            child.output_start = output.tell()
            # Each child has its own process group, so Ctrl-C reaches only `headgate up`, which then stops the children.
            child.process = subprocess.Popen(
                program.command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        child.started_at = self._clock()

    def _handle_exit(self, child: _Child, returncode: int) -> None:
        child.process = None
        if cause := FATAL_EXITS.get(returncode):
            problem = f"{child.program.name} {cause}: see {child.program.log_file}"
            raise FatalExit("\n".join([problem, *_errors(child)]))
        wait = child.restarts.wait_seconds(self._clock() - child.started_at)
        child.start_at = self._clock() + wait
        ended = f"{child.program.name} ended {how_it_ended(returncode)}"
        self._report(f"{ended}; it restarts in {wait:g} s ({child.program.log_file})")


def _errors(child: _Child) -> list[str]:
    """The messages of the child's first log lines with level `error`; services write their log lines as JSON."""
    with child.program.log_file.open("rb") as output:
        output.seek(child.output_start)
        lines = output.read(MAX_ERROR_OUTPUT_BYTES).splitlines()
    messages = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("level") == "error":
                messages.append(str(entry.get("message")))
    return messages


def _open_log(file: Path) -> IO[bytes]:
    _limit_size(file)
    return file.open("ab")


def _limit_size(file: Path) -> None:
    """Sets a large file's content aside. The child appends, so it goes on at the beginning of the emptied file."""
    if file.exists() and file.stat().st_size > MAX_LOG_BYTES:
        shutil.copyfile(file, file.with_suffix(".log.1"))
        os.truncate(file, 0)


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        _signal(process, number)
