"""What foreign code may do with files: everything that the trainer's user may, except with Headgate's own.

The code of a commit reads the interpreter and its packages and cannot change them, and it does not read the trainer's
keys. Linux keeps to this by Landlock, also for root, and keeps the code from signalling or inspecting the trainer.
"""

import ctypes
import errno
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate.runtime.parent import prctl

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of these system calls, the same on every machine."""
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
SYS_PTRACE, SYS_ADMIN, PERFMON = 19, 21, 38
"""With one of these capabilities root reads the memory and the variables of other processes."""
SCOPE_SIGNAL = 1 << 1
LEAST_VERSION = 3
"""Before this version of Landlock a file can be cut off without the right to write."""
SCOPE_VERSION = 6

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
EVERYTHING = (1 << 15) - 1
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READING = EXECUTE | READ_FILE | READ_DIR
ROOT = Path("/")


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True, slots=True)
class Confinement:
    """`read_only` folders can be read, `hidden` ones cannot. `writable` counts also below one of these."""

    writable: tuple[str, ...]
    read_only: tuple[str, ...]
    hidden: tuple[str, ...]

    def text(self) -> str:
        return json.dumps([self.writable, self.read_only, self.hidden])


def confinement_of(text: str) -> Confinement:
    """The confinement of this text, which its `text` wrote."""
    return Confinement(*(tuple(paths) for paths in json.loads(text)))


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _system_call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION))


def can_confine() -> bool:
    return landlock_version() >= LEAST_VERSION


def ruleset(confinement: Confinement) -> int | None:
    """A file descriptor for `enter`; None where the kernel cannot confine. Raises OSError."""
    if not can_confine():
        return None
    has_scopes = landlock_version() >= SCOPE_VERSION
    rules = _Ruleset(EVERYTHING, 0, SCOPE_SIGNAL if has_scopes else 0)
    size = ctypes.sizeof(rules) if has_scopes else ctypes.sizeof(ctypes.c_uint64)
    descriptor = _require(_system_call(CREATE_RULESET, ctypes.byref(rules), size, 0))
    kept = {Path(path).resolve() for path in (*confinement.read_only, *confinement.hidden)}
    _allow(descriptor, [ROOT], READ_DIR)
    _allow(descriptor, beside(ROOT, kept), EVERYTHING)
    _allow(descriptor, [Path(path).resolve() for path in confinement.read_only], READING)
    _allow(descriptor, [Path(path).resolve() for path in confinement.writable], EVERYTHING)
    return descriptor


def enter(descriptor: int) -> None:
    """Confines this process and all that it will start, for ever. Raises OSError."""
    for capability in (SYS_PTRACE, SYS_ADMIN, PERFMON):
        prctl(PR_CAPBSET_DROP, capability)  # whoever may not drop it does not have it
    _require(prctl(PR_SET_NO_NEW_PRIVS, 1))
    _require(_system_call(RESTRICT_SELF, descriptor, 0))


def beside(directory: Path, kept: Iterable[Path]) -> Iterator[Path]:
    """What lies below the directory, without the kept paths, in as few paths as that takes.

    A shared temporary folder is left whole: programs expect that they can make new files in it.
    """
    below = [path for path in kept if path.is_relative_to(directory)]
    if not below or is_shared(directory):
        yield directory
    elif directory not in below:
        for entry in _entries(directory):
            yield from beside(entry, below)


def is_shared(directory: Path) -> bool:
    """Whether this is a folder in which everybody makes files, such as /tmp."""
    try:
        return bool(directory.stat().st_mode & stat.S_ISVTX)
    except OSError:
        return False


def _entries(directory: Path) -> list[Path]:
    """Without links: what they lead to has a path of its own."""
    try:
        return [Path(entry.path) for entry in os.scandir(directory) if not entry.is_symlink()]
    except OSError:
        return []


def _allow(descriptor: int, paths: Iterable[Path], access: int) -> None:
    for path in paths:
        try:
            opened = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # it is gone, or cannot be reached anyway
            continue
        try:
            allowed = access if stat.S_ISDIR(os.fstat(opened).st_mode) else access & OF_FILES
            rule = _PathBeneath(allowed, opened)
            _require(_system_call(ADD_RULE, descriptor, RULE_PATH_BENEATH, ctypes.byref(rule), 0))
        finally:
            os.close(opened)


def _system_call(number: int, *arguments: object) -> int:
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    return result


def _require(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno() or errno.EPERM
        raise OSError(code, os.strerror(code))
    return result
