"""The files that code in a jail sees: the system's programs and libraries, a new /tmp, and what it was given."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
SETTINGS = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "fonts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "magic", "mime.types", "nsswitch.conf", "os-release", "pki", "ssl", "timezone",
)  # fmt: skip
"""What programs read of /etc. No names of users and of other machines are among it."""
OF_NETWORK = ("hosts", "resolv.conf", "gai.conf", "host.conf", "services", "protocols")
PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""By these, libraries choose how they compute."""

MAX_GPUS = 16
GPUS = (
    "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/kfd", "/dev/dri",
    *(f"/dev/nvidia{number}" for number in range(MAX_GPUS)),
)  # fmt: skip


def machine_mounts(temporary_bytes: int, has_network: bool) -> Iterator[str]:
    """The options of bubblewrap for what every jail sees of the machine."""
    # bubblewrap would make these for its own user alone.
    for path in ("/etc", "/run", "/sys", "/sys/devices", "/sys/devices/system", "/var"):
        yield from ("--perms", "0755", "--dir", path)
    for path in PROGRAMS:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        else:
            yield from ("--ro-bind-try", path, path)
    for name in (*SETTINGS, *(OF_NETWORK if has_network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in ("/dev/shm", "/tmp"):
        yield from ("--perms", "1777", "--size", str(temporary_bytes), "--tmpfs", path)
    yield from ("--symlink", "/tmp", "/var/tmp")
    for path in PROCESSORS:
        yield from ("--ro-bind-try", path, path)
    for device in GPUS:
        yield from ("--dev-bind-try", device, device)


def given_mounts(read_only: Iterable[Path], writable: Iterable[Path]) -> Iterator[str]:
    """The options for what one jail was given. What lies deeper comes later, so it stays visible."""
    given = [(path, "--ro-bind") for path in read_only if not _is_there_already(path)]
    given += [(path, "--bind") for path in writable]
    for folder in sorted({folder for path, _ in given for folder in path.parents if not _is_there_already(folder)}):
        yield from ("--perms", "0755", "--dir", str(folder))
    for path, option in sorted(given, key=lambda each: len(each[0].parts)):
        yield from (option, str(path), str(path))


def _is_there_already(path: Path) -> bool:
    return path == Path("/") or path == Path("/tmp") or any(path.is_relative_to(folder) for folder in PROGRAMS)


def own_names(user: int, group: int, home: str) -> Sequence[tuple[str, bytes]]:
    """Files that are written for the jail: its user, and the only host that it knows."""
    return (
        ("/etc/passwd", f"jail:x:{user}:{group}:jail:{home}:/bin/sh\nroot:x:0:0:root:/:/bin/false\n".encode()),
        ("/etc/group", f"jail:x:{group}:\nroot:x:0:\n".encode()),
    )


HOSTS = ("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
