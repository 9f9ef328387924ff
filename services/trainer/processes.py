"""Runs foreign programs: each in a process group of its own, with a time limit, a log, and an end in every case."""

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


def run(
    command: Sequence[str],
    directory: Path,
    environment: dict[str, str],
    log: Path,
    timeout_seconds: float,
    stop: threading.Event,
    overran: Callable[[], str] = lambda: "",
) -> Ended:
    """Waits for the end. `overran` is asked all the while; what it answers ends the program. Raises Stopped."""
    started = time.monotonic()
    launcher = [sys.executable, "-P", "-m", "services.trainer.launch", str(os.getpid()), *command]
    with log.open("wb") as out:
        process = subprocess.Popen(
            launcher, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    limit = ""
    try:
        while not has_ended(process) and not limit:
            if stop.wait(POLL_SECONDS):
                raise Stopped
            limit = overran()
            if time.monotonic() - started > timeout_seconds:
                limit = f"took longer than {timeout_seconds:g} s"
            elif log.stat().st_size > MAX_LOG_BYTES:
                limit = f"printed more than {MAX_LOG_BYTES} bytes"
    finally:
        kill_group(process)
    duration_ms = int((time.monotonic() - started) * 1000)
    return Ended(process.returncode, duration_ms, tail(log), limit)


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
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }
