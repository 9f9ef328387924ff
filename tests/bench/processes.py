"""Starts processes for measurements, reads their CPU time and memory from /proc, and ends them."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READY_SECONDS = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_LIBC = ctypes.CDLL(None)


@contextmanager
def server(command: Sequence[str | Path], env: Mapping[str, str], port: int, log: Path) -> Iterator[int]:
    """Starts a server, waits until its port answers, and yields its pid. Kills its whole process tree at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        _wait_until_ready(process, port, log)
        yield process.pid
    finally:
        pids = tree(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        for pid in pids:  # Some servers start their workers in sessions of their own.
            _kill(pid)
        process.wait()


def wait_serving(port: int) -> None:
    """Waits until gRPC health reports SERVING. A service of Headgate has then read the log.

    Raises RpcError, RuntimeError.
    """
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=READY_SECONDS)
        if not any(answer.status == health_pb2.HealthCheckResponse.SERVING for answer in watch):
            raise RuntimeError(f"the server on port {port} ended the health watch before it reported SERVING")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents = {int(path.name): _stat(path)[1] for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == str(parent)]
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time in seconds, of these processes and of their children that have ended."""
    return sum(sum(int(ticks) for ticks in _stat(Path(f"/proc/{pid}"))[11:15]) for pid in pids) * _TICK_S


def resident_mib(pids: Sequence[int]) -> float:
    return sum(int(_stat(Path(f"/proc/{pid}"))[21]) for pid in pids) * _PAGE_MIB


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return int(_stat(Path(f"/proc/{pid}"))[17])


def children_running(words: str) -> list[int]:
    """The descendants of this process whose command line contains these words."""
    return [pid for pid in tree(os.getpid())[1:] if words in _command_line(pid)]


def _stat(process: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name. Zeros for a process that has ended."""
    try:
        return (process / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ["0"] * 50


def _command_line(pid: int) -> str:
    """The words of the command; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args} did not start: {log.read_text()[-2000:]}") from None
        time.sleep(0.05)


def _die_with_parent() -> None:
    """Runs in the child process. The kernel will kill it when this process ends."""
    _LIBC.prctl(1, signal.SIGKILL)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
