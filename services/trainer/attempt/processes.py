"""Runs foreign programs: each in a process group of its own, with a time limit, a log, and an end in every case."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.05
KILL_SECONDS = 10.0
LOG_TAIL_BYTES = 8 * 1024
MAX_LOG_BYTES = 64 * 1024 * 1024


class Stopped(Exception):
    """The trainer is stopping, or holds the attempt no more: nobody waits for a report."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `overran` names the limit it was killed for."""

    exit_code: int
    duration_ms: int
    log_tail: str
    overran: str = ""


class Program:
    """A foreign program under way. It hears one line at most, and ends by `wait` or `end`."""

    def __init__(self, command: Sequence[str], directory: Path, environment: dict[str, str], log: Path) -> None:
        launcher = [sys.executable, "-P", "-m", "services.trainer.attempt.launch", str(os.getpid()), *command]
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                launcher, cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def tell(self, line: str) -> None:
        """The one line on its standard input; none when empty. That it has ended already is found out by `wait`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as lines:
            lines.write(f"{line}\n".encode() if line else b"")

    def wait(self, timeout_seconds: float, stop: threading.Event, overran: Callable[[], str] = lambda: "") -> Ended:
        """Waits for the end. `overran` is asked all the while; what it answers ends the program. Raises Stopped."""
        started = time.monotonic()
        limit = ""
        try:
            while not has_ended(self._process) and not limit:
                if stop.wait(POLL_SECONDS):
                    raise Stopped
                limit = overran()
                if time.monotonic() - started > timeout_seconds:
                    limit = f"took longer than {timeout_seconds:g} s"
                elif self._log.stat().st_size > MAX_LOG_BYTES:
                    limit = f"printed more than {MAX_LOG_BYTES} bytes"
        finally:
            self.end()
        duration_ms = int((time.monotonic() - started) * 1000)
        return Ended(self._process.returncode, duration_ms, tail(self._log), limit)

    def end(self) -> None:
        """Ends it and all that it started; nothing happens when that is done already."""
        if self._process.returncode is None:
            kill_group(self._process)
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
) -> Ended:
    """Runs a program that is told nothing to its end. Raises Stopped."""
    program = Program(command, directory, environment, log)
    program.tell("")
    return program.wait(timeout_seconds, stop)


def has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Leaves the ended process unreaped, so that nobody else can get its number before its group is killed."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Also when the program has ended: what it left behind must not live on."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(KILL_SECONDS)


def tail(log: Path) -> str:
    """The last LOG_TAIL_BYTES, cut at whole characters."""
    with log.open("rb") as lines:
        lines.seek(0, os.SEEK_END)
        lines.seek(max(0, lines.tell() - LOG_TAIL_BYTES))
        text = lines.read(LOG_TAIL_BYTES).decode(errors="replace").replace("\0", "")
    return text.encode()[-LOG_TAIL_BYTES:].decode(errors="ignore")


def surroundings(scratch: Path) -> dict[str, str]:
    """The environment of foreign code: this interpreter first, a home of its own, nothing of Headgate's settings."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE") if name in os.environ}
    home = scratch / "home"
    temporary = scratch / "tmp"
    for directory in (home, temporary):
        directory.mkdir(exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return kept | {
        "PATH": path,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }
