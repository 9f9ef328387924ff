"""Runs inside a jail and tries to get out: each line of its output is a probe and what came of it, as JSON.

python probes.py TARGETS, where TARGETS is a JSON file: secrets, ports, abstract names and the id of a process outside.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
NUMBERS = {
    # name: the numbers on x86_64 and on aarch64
    "mount": (165, 40), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "keyctl": (250, 219),
    "add_key": (248, 217), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "perf_event_open": (298, 241),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "pidfd_getfd": (438, 438), "init_module": (175, 105),
    "chroot": (161, 51), "fsopen": (430, 430), "open_tree": (428, 428), "clone3": (435, 435),
    "open_by_handle_at": (304, 265), "syslog": (103, 116), "reboot": (169, 142),
}  # fmt: skip
OWN = Path("/proc/self/environ").read_bytes().decode().split("\0")
NEW_USER = 0x10000000
TIOCSTI = 0x5412
SOCK_STREAM, AF_PACKET, AF_ALG, AF_VSOCK, MPTCP = socket.SOCK_STREAM, 17, 38, 40, 262


def main() -> None:
    targets = json.loads(Path(sys.argv[1]).read_text())
    for name, probe in probes(targets):
        try:
            found = probe()
        except OSError as error:
            found = errno.errorcode.get(error.errno or 0, type(error).__name__)
        print(json.dumps([name, found]), flush=True)


def probes(targets: dict) -> list[tuple[str, Callable[[], object]]]:
    found: list[tuple[str, Callable[[], object]]] = []
    for path in targets["secrets"]:
        found.append((f"read {path}", lambda path=path: Path(path).read_bytes().hex()))
    for path in targets["folders"]:
        found.append((f"list {path}", lambda path=path: os.listdir(path)))
    for port in targets["ports"]:
        found.append((f"port {port}", lambda port=port: connect(socket.AF_INET, ("127.0.0.1", port))))
    for name in targets["abstract"]:
        found.append((f"abstract {name}", lambda name=name: connect(socket.AF_UNIX, "\0" + name)))
    found += [(f"socket {path}", lambda path=path: connect(socket.AF_UNIX, path)) for path in targets["sockets"]]
    found += [(f"write {path}", lambda path=path: Path(path).write_text("x")) for path in targets["read only"]]
    outside = targets["process"]
    found += [
        ("kill outside", lambda: os.kill(outside, 0)),
        ("kill all", lambda: os.kill(-1, signal.SIGCONT) or "signalled its own"),
        ("environ of init", lambda: own_or(Path("/proc/1/environ").read_bytes().decode().split("\0"), OWN)),
        ("root of init", lambda: own_or(os.listdir("/proc/1/root"), os.listdir("/"))),
        ("environ outside", lambda: Path(f"/proc/{outside}/environ").read_bytes().hex()),
        ("processes", lambda: sum(entry.isdecimal() for entry in os.listdir("/proc"))),
        ("core pattern", lambda: Path("/proc/sys/kernel/core_pattern").write_text("|/bin/true")),
        ("memory", lambda: Path("/proc/kcore").read_bytes()[:1].hex()),
        ("disk", lambda: os.mknod("x", 0o60600, os.makedev(254, 0))),
        ("become root", lambda: os.setuid(0)),
        ("host name", lambda: socket.gethostname()),
        ("user", os.getuid),
        ("groups", os.getgroups),
        ("variables", lambda: sorted(os.environ)),
        ("descriptors", lambda: sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1]),
        ("capabilities", lambda: status("CapPrm", "CapEff", "CapAmb")),
        ("no new privileges", lambda: status("NoNewPrivs")),
        ("raw socket", lambda: open_socket(socket.AF_INET, socket.SOCK_RAW, 1)),
        ("packet socket", lambda: open_socket(AF_PACKET, socket.SOCK_RAW)),
        ("crypto socket", lambda: open_socket(AF_ALG, socket.SOCK_SEQPACKET)),
        ("vsock", lambda: open_socket(AF_VSOCK, SOCK_STREAM)),
        ("mptcp", lambda: open_socket(socket.AF_INET, SOCK_STREAM, MPTCP)),
        ("audit socket", lambda: open_socket(16, socket.SOCK_RAW, 9)),
        ("world", lambda: connect(socket.AF_INET, ("192.0.2.1", 443))),
        ("terminal", lambda: checked(LIBC.ioctl(0, TIOCSTI, b"x"))),
        ("32 bit calls", lambda: checked(LIBC.syscall(ctypes.c_long(0x40000000 + 39)))),
        ("clone of a user namespace", clone_user_namespace),
        ("fork bomb", fork_bomb),
        ("memory bomb", memory_bomb),
        ("full /tmp", lambda: fill("/tmp/full", 1 << 30)),
        ("full /dev/shm", lambda: fill("/dev/shm/full", 1 << 30)),
        ("large file", lambda: fill("large", 1 << 30)),
        ("own folder", lambda: Path("own").write_text("mine")),
    ]  # fmt: skip
    for name, numbers in NUMBERS.items():
        first = NEW_USER if name == "unshare" else 0
        number = numbers[0 if X86 else 1]
        found.append((f"call {name}", lambda number=number, first=first: call(number, first)))
    return found


def own_or(found: list[str], own: list[str]) -> object:
    """The first program in a jail may show what every program there has."""
    return "its own" if set(found) <= set(own) else found


def call(number: int, first: int) -> int:
    return checked(LIBC.syscall(number, first, 0, 0, 0, 0))


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def status(*names: str) -> list[str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith(names)]


def connect(family: int, address: object) -> str:
    with socket.socket(family, SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(address)
        return "connected"


def open_socket(family: int, kind: int, protocol: int = 0) -> str:
    with socket.socket(family, kind, protocol):
        return "opened"


def clone_user_namespace() -> int:
    number = 56 if X86 else 220
    pid = LIBC.syscall(number, NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return checked(pid)


def fork_bomb() -> str:
    children = []
    try:
        for _ in range(10_000):
            if (pid := os.fork()) == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return "10000 processes"


def memory_bomb() -> str:
    kept = []
    try:
        for _ in range(4096):
            kept.append(bytearray(1 << 20))
    except MemoryError:
        return "MemoryError"
    return "4 GiB"


def fill(path: str, size: int) -> int:
    block, written = b"x" * (1 << 20), 0
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open(path, "wb", buffering=0) as file:
            while written < size:
                written += file.write(block)
    finally:
        os.unlink(path)
    return written


if __name__ == "__main__":
    # What a jail leaves running must end with it.
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", json.loads(Path(sys.argv[1]).read_text())["left"]])
    main()
