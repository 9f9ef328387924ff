"""Runs foreign programs. Each has a launcher, a time limit and a log of its own, and ends in every case.

Whatever the program has started ends with it: the launcher sees to it, also when the trainer is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from headgate.domain.credentials import as_it_may_be_kept
from headgate.jail.port import Prepared
from services.trainer.programs.confinement import Confinement
from services.trainer.programs.jailed import Jailed
from services.trainer.programs.launch import EXIT_NOT_ENDED, SIGNALLED
from services.trainer.programs.orphans import MARK, end_orphans
from services.trainer.programs.sizes import grown_too_large

FIRST_POLL_SECONDS = 0.002
"""How soon a program is looked at after its start. Each pause is twice as long as the one before."""
POLL_SECONDS = 0.05
"""The longest pause."""
KILL_SECONDS = 10.0
"""How long the launcher may take to end what it started; then it is killed."""
LAUNCHER = (sys.executable, "-P", "-m", "services.trainer.programs.launch")
LOG_TAIL_BYTES = 8 * 1024
MAX_LOG_BYTES = 64 * 1024 * 1024

OUT_OF_MEMORY = (
    ". Headgate did not send it. The system sends it when memory runs out:"
    " use less data or a smaller train.batch_size, or give the trainer more memory"
)
CRASH = ": native code that it called has crashed"
CAUSES: dict[int, str] = {
    signal.SIGKILL: OUT_OF_MEMORY,
    signal.SIGSEGV: CRASH,
    signal.SIGABRT: CRASH,
    signal.SIGBUS: CRASH,
}


OnLimit = Callable[[float], object]
"""Is told how many seconds may pass from now on until the work that begins is ended."""


def untold(seconds: float) -> None:
    """An OnLimit for work whose end nobody asks for."""


class Stopped(Exception):
    """The trainer is stopping, or it no longer holds the attempt. No report is expected."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a program ended. `limit_broken` says which limit it was killed for; it is empty when it ended by itself."""

    exit_code: int
    duration_ms: int
    log_tail: str
    limit_broken: str = ""


class Program:
    """A running foreign program. It reads at most one line, and is ended by `wait` or by `end`."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: dict[str, str],
        log: Path,
        confinement: Confinement | Jailed | None = None,
        append: bool = False,
    ) -> None:
        """With `append`, the log keeps what it has already."""
        self._log = log
        self._marked = Path(environment[MARK]).parent
        self._grown: Callable[[], str] = str
        preparing: AbstractContextManager[Prepared] = contextlib.nullcontext(Prepared(command))
        if isinstance(confinement, Jailed):
            preparing = confinement.jailing.jail.prepared(confinement.confined(tuple(command), directory, environment))
            self._grown = grown_too_large(*confinement.writable, max_bytes=confinement.jailing.limits.folder_bytes)
        confined = confinement.text() if isinstance(confinement, Confinement) else ""
        with preparing as prepared, log.open("ab" if append else "wb") as out:
            descriptors = " ".join(map(str, prepared.descriptors))
            launcher = [*LAUNCHER, str(os.getpid()), confined, descriptors, *prepared.command]
            self._process = subprocess.Popen(
                launcher, cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out,
                start_new_session=True, pass_fds=prepared.descriptors,
            )  # fmt: skip

    def close_input(self, line: str = "") -> None:
        """Writes the line to its standard input, if there is one, and closes it.

        A program that has ended already cannot read it; `wait` answers how it ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as lines:
            lines.write(f"{line}\n".encode() if line else b"")

    def wait(self, timeout_seconds: float, stop: threading.Event, broken_limit: Callable[[], str] = lambda: "") -> Exit:
        """Waits for the end. `broken_limit` is asked at each poll; an answer that is not empty ends the program.

        Raises Stopped.
        """
        started = time.monotonic()
        limit, pause = "", FIRST_POLL_SECONDS
        try:
            while self._process.poll() is None and not limit:
                if stop.wait(pause):
                    raise Stopped
                pause = min(2 * pause, POLL_SECONDS)
                limit = broken_limit()
                if not limit and (grown := self._grown()):
                    limit = f"wrote too much: its folder {grown}"
                if time.monotonic() - started > timeout_seconds:
                    limit = f"took longer than {timeout_seconds:g} s"
                elif self._log.stat().st_size > MAX_LOG_BYTES:
                    limit = f"printed more than {MAX_LOG_BYTES} bytes"
        finally:
            self.end()
        duration_ms = int((time.monotonic() - started) * 1000)
        return Exit(exit_code_of(self._process), duration_ms, tail(self._log), limit)

    def end(self) -> None:
        """Ends the program and everything that it started. A second call does nothing."""
        end_launcher(self._process)
        if self._process.returncode < 0 or self._process.returncode == EXIT_NOT_ENDED:
            end_orphans(self._marked)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def run(
    command: Sequence[str],
    directory: Path,
    environment: dict[str, str],
    log: Path,
    timeout_seconds: float,
    stop: threading.Event,
    confinement: Confinement | Jailed | None = None,
) -> Exit:
    """Runs a program without input to its end. Raises Stopped."""
    program = Program(command, directory, environment, log, confinement)
    program.close_input()
    return program.wait(timeout_seconds, stop)


def end_launcher(process: "subprocess.Popen[bytes]") -> None:
    """Has the launcher end what it started. Kills it when it takes longer than KILL_SECONDS."""
    process.terminate()
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def exit_code_of(launcher: "subprocess.Popen[bytes]") -> int:
    """The program's exit code, or that of the signal that killed its launcher."""
    code: int = launcher.returncode
    return code if code >= 0 else SIGNALLED - code


def tail(log: Path) -> str:
    """The last LOG_TAIL_BYTES of the log, cut between characters and without credentials: it stands in a fact."""
    with log.open("rb") as lines:
        lines.seek(0, os.SEEK_END)
        lines.seek(max(0, lines.tell() - LOG_TAIL_BYTES))
        text = as_it_may_be_kept(lines.read(LOG_TAIL_BYTES).decode(errors="replace").replace("\0", ""))
    return text.encode()[-LOG_TAIL_BYTES:].decode(errors="ignore")


WITHOUT_REASON = (
    ". Foreign code ended it, as os._exit() does. Let each function of the repository return or raise; the log shows"
    " what was printed last"
)


def end_of(exit_code: int) -> str:
    """How a program ended that gave no reason itself, with the cause where the exit code shows one."""
    if exit_code <= SIGNALLED:
        return f"ended with exit code {exit_code} and gave no reason{WITHOUT_REASON}"
    number = exit_code - SIGNALLED
    name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
    return f"was ended by signal {number} ({name}){CAUSES.get(number, '')}"
