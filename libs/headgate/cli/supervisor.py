"""Keeps the processes of `headgate up` alive: starts them, restarts what crashes, stops them all; knows no service."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headgate.runtime.parent import PARENT_VARIABLE
from headgate.runtime.service import HOPELESS

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
SETTLED_SECONDS = 60.0
"""A child that lived this long starts again at the first backoff."""
STOP_SECONDS = 20.0
MAX_TOLD_BYTES = 8 * 1024
"""Of a child's output, in which its reason to end is sought."""
MAX_LOG_BYTES = 16 * 1024 * 1024
"""Of a child's output; what was written before it is kept once, beside it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One child: what to run and where its output goes."""

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
    crashes: int = 0
    # Where its output begins in the file, behind that of those before it.
    output_at: int = 0


class HopelessChild(Exception):
    """A child ended for a reason that starting it again does not change."""


class Supervisor:
    """Call every method from one thread, the one whose end the children are bound to."""

    def __init__(
        self,
        programs: Sequence[Program],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._say = say
        self._clock = clock

    def tend(self) -> None:
        """Starts what is due and notices what has ended. Raises HopelessChild. Call it a few times a second."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, child.process.returncode)
            if child.process is None and self._clock() >= child.start_at:
                self._start(child)
            _keep_small(child.program.log_file)

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
            child.output_at = output.tell()
            # Its own process group: Ctrl-C on the terminal reaches `up` alone, which then stops all in order.
            child.process = subprocess.Popen(
                program.command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        child.started_at = self._clock()

    def _bury(self, child: _Child, returncode: int) -> None:
        child.process = None
        if why := HOPELESS.get(returncode):
            told = f"{child.program.name} {why}: see {child.program.log_file}"
            raise HopelessChild("\n".join([told, *_errors(child)]))
        settled = self._clock() - child.started_at >= SETTLED_SECONDS
        child.crashes = 1 if settled else child.crashes + 1
        wait = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (child.crashes - 1))
        child.start_at = self._clock() + wait
        ended = f"by signal {-returncode}" if returncode < 0 else f"with exit code {returncode}"
        self._say(f"{child.program.name} ended {ended}; it starts again in {wait:g} s ({child.program.log_file})")


def _errors(child: _Child) -> list[str]:
    """What the child called an error in the lines of JSON that our services write; the first few."""
    with child.program.log_file.open("rb") as output:
        output.seek(child.output_at)
        lines = output.read(MAX_TOLD_BYTES).splitlines()
    told = []
    for line in lines:
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("level") == "error":
                told.append(str(said.get("message")))
    return told


def _open_log(file: Path) -> IO[bytes]:
    _keep_small(file)
    return file.open("ab")


def _keep_small(file: Path) -> None:
    """Sets a large file's content aside. The child goes on at the beginning: it has the file open to append."""
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
