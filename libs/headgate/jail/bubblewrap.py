"""The jail of one's own machine: bubblewrap, with namespaces, a filter on system calls and limits.

Started by root, bubblewrap keeps root's rights until the files are in place, and then the code becomes a user that
nobody else is. Started by another user, it makes a user namespace, in which this user has no rights over others.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from headgate.jail import stage
from headgate.jail.layout import HOSTS, given_mounts, machine_mounts, own_names
from headgate.jail.port import Confined, JailLimits, Prepared
from headgate.jail.seccomp import MACHINES, program

PROGRAM = "bwrap"
PROBE_SECONDS = 20.0
FIRST_USER = 0x70000000
"""Numbers of users from here on are in nobody's use (systemd, "Users, groups, UIDs and GIDs")."""
NOBODY = 65534
SET_ON_THE_WAY = ("PWD", "LC_CTYPE")
"""Variables that bubblewrap and Python add."""
PORTS = (80, 443)
"""Of a jail with network: those of the web. The services of Headgate listen on others."""
INSTALL = "install bubblewrap (`apt-get install bubblewrap` on Debian and Ubuntu)"
CLOSED = "let this user make user namespaces, or start the service as root with CAP_SYS_ADMIN"


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Each process that uses it has a number for the user in its jails."""

    program: str = field(default_factory=lambda: found_program())
    user: int = field(default_factory=lambda: user_of_jails())
    python: str = field(default_factory=lambda: os.path.realpath(sys.executable))
    """It takes the limits upon itself, and then becomes the command."""

    def problem(self) -> str:
        """Why no jail can be had, with what to do. It is found out once."""
        return _problem(self)

    @contextmanager
    def prepared(self, confined: Confined) -> Iterator[Prepared]:
        """The command that enters the jail. Raises OSError."""
        user, group = (self.user, self.user) if self.user else (os.getuid(), os.getgid())
        files = [*own_names(user, group, confined.environment.get("HOME", "/tmp"))]
        if not confined.has_network:
            files.append(HOSTS)
        with ExitStack() as open_files:
            filtering = open_files.enter_context(_memory_file(program(platform.machine())))
            written = [(path, open_files.enter_context(_memory_file(content))) for path, content in files]
            command = [
                self.program, *self._namespaces(confined.has_network),
                *machine_mounts(confined.limits.temporary_bytes, confined.has_network),
                *given_mounts([*confined.read_only, Path(stage.__file__)], confined.writable),
                *(each for path, number in written for each in ("--ro-bind-data", str(number), path)),
                "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(confined.directory),
                "--seccomp", str(filtering), "--", self.python, "-I", "-S", stage.__file__,
                self._limits(confined), *confined.command,
            ]  # fmt: skip
            yield Prepared(command, [filtering, *(number for _, number in written)])

    def give(self, folder: Path) -> None:
        """Started by another user than root, the code in the jail owns the folder already."""
        if self.user:
            for _, _, names, directory in os.fwalk(folder, follow_symlinks=False):
                os.fchown(directory, self.user, self.user)
                for name in names:
                    os.chown(name, self.user, self.user, dir_fd=directory, follow_symlinks=False)

    def _namespaces(self, has_network: bool) -> Sequence[str]:
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return [
            *(rights if self.user else ["--unshare-user"]), *([] if has_network else ["--unshare-net"]),
            "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "jail",
            "--die-with-parent", "--new-session",
        ]  # fmt: skip

    def _limits(self, confined: Confined) -> str:
        """The words that the stage reads."""
        limits = confined.limits
        asked = {
            "user": self.user,
            "cpus": limits.cpus,
            "memory": limits.memory_bytes,
            "file": limits.file_bytes,
            "core": 0,
            "processes": limits.processes,
            "unset": ",".join(name for name in SET_ON_THE_WAY if name not in confined.environment),
        }
        ports = f" ports={','.join(map(str, PORTS))}" if confined.has_network else ""
        return " ".join(f"{name}={value}" for name, value in asked.items()) + ports


def found_program() -> str:
    """bubblewrap beside this Python, where `make setup` may have put it, or that of the system; empty without one."""
    own = Path(sys.prefix) / "bin" / PROGRAM
    return str(own) if own.is_file() else shutil.which(PROGRAM) or ""


def user_of_jails() -> int:
    """The number of the user in the jails of this process; 0 where it is not root and the user stays the same."""
    if os.getuid() != 0:
        return 0
    wanted = FIRST_USER + os.getpid()
    with open("/proc/self/uid_map") as known:
        ranges = [[int(number) for number in line.split()] for line in known]
    return wanted if any(first <= wanted < first + count for first, _, count in ranges) else NOBODY


@lru_cache(maxsize=8)
def _problem(jail: Bubblewrap) -> str:
    if sys.platform != "linux":
        return f"a jail needs Linux, and this is {sys.platform}"
    if platform.machine() not in MACHINES:
        return f"a jail needs a processor of {' or '.join(MACHINES)}, and this is {platform.machine()}"
    if not jail.program:
        return f"this machine has no jail, because the program {PROGRAM} is not there: {INSTALL}"
    nothing = Confined(["true"], Path("/"), {}, [Path(sys.base_prefix)], [], JailLimits())
    with jail.prepared(nothing) as prepared:
        try:
            ended = subprocess.run(
                prepared.command, pass_fds=prepared.descriptors, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=PROBE_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"this machine has no jail, because {jail.program} cannot be run ({error}): {INSTALL}"
    if ended.returncode == 0:
        return ""
    said = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
    return f"this machine has no jail, because bubblewrap fails ({said[0]}): {CLOSED}"


@contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("headgate-jail")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
