"""The filter on system calls in a jail, as a program of the kernel's classic BPF.

What a program needs to compute, read and write files passes. What changes the system, looks into other processes, or
opens parts of the kernel that are seldom used answers EPERM. `clone3` answers ENOSYS, because a filter cannot read its
flags; the C library then calls `clone`, whose flags it can read.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K and BPF_RET|K."""
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16
"""Where these stand in struct seccomp_data. An argument has eight bytes, the lower four first."""
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
X32 = 0x40000000
NEW_NAMESPACES = 0x7E020000
"""All flags of `clone` that make a namespace."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""They write into the input of a terminal."""
MSG_FASTOPEN = 0x20000000
"""Sends and connects at once, past the rules of Landlock on ports."""
NETLINK, NETLINK_ROUTE = 16, 0
PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
"""Without MPTCP, which the rules on ports do not see."""

DENIED = {
    # name: the numbers on x86_64 and on aarch64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "setns": (308, 268), "unshare": (272, 97),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18), "vhangup": (153, 58), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Calls:
    """A kind of machine, and the numbers of the calls that are looked at more closely."""

    audit: int
    column: int
    clone: int
    socket: int
    ioctl: int
    sending: tuple[tuple[int, int], ...]
    """sendto, sendmsg and sendmmsg, each with the place of its flags among the arguments."""


MACHINES = {
    "x86_64": Calls(0xC000003E, 0, 56, 41, 16, ((44, 3), (46, 2), (307, 3))),
    "aarch64": Calls(0xC00000B7, 1, 220, 198, 29, ((206, 3), (211, 2), (269, 3))),
}
CLONE3 = 435


def program(machine: str) -> bytes:
    """The filter for a kind of machine, as `platform.machine` names it. Raises KeyError for one that is not known."""
    calls = MACHINES[machine]
    lines = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, calls.audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if calls.column == 0:
        lines += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    lines += _when(CLONE3, [(RETURN, 0, 0, ERROR | errno.ENOSYS)])
    for numbers in DENIED.values():
        if (number := numbers[calls.column]) is not None:
            lines += _when(number, [_refused()])
    lines += _when(calls.clone, [_argument(0), (ANY_BIT, 0, 1, NEW_NAMESPACES), _refused(), _allowed()])
    lines += _when(calls.ioctl, [_argument(1), *_refused_when_one_of((TIOCSTI, TIOCLINUX)), _allowed()])
    lines += _when(calls.socket, _sockets())
    for number, flags in calls.sending:
        lines += _when(number, [_argument(flags), (ANY_BIT, 0, 1, MSG_FASTOPEN), _refused(), _allowed()])
    lines.append(_allowed())
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


Line = tuple[int, int, int, int]
"""The operation, how many lines are passed over when it holds and when it does not, and its value."""


def _sockets() -> list[Line]:
    """Sockets of these families and protocols, and the one by which programs ask for network interfaces."""
    of_internet = [_argument(2), *_allowed_when_one_of(PROTOCOLS), (RETURN, 0, 0, ERROR | errno.EPROTONOSUPPORT)]
    of_netlink = [_argument(2), *_allowed_when_one_of((NETLINK_ROUTE,)), (RETURN, 0, 0, ERROR | errno.EPROTONOSUPPORT)]
    lines = [_argument(0), *_allowed_when_one_of((socket.AF_UNIX,))]
    for family, then in ((socket.AF_INET, of_internet), (socket.AF_INET6, of_internet), (NETLINK, of_netlink)):
        lines += [(EQUAL, 0, len(then), family), *then]
    return [*lines, (RETURN, 0, 0, ERROR | errno.EAFNOSUPPORT)]


def _when(number: int, then: list[Line]) -> list[Line]:
    """These lines for the call of this number. They end in an answer."""
    return [(EQUAL, 0, len(then), number), *then]


def _argument(index: int) -> Line:
    return LOAD, 0, 0, FIRST_ARGUMENT + 8 * index


def _allowed_when_one_of(values: Iterable[int]) -> list[Line]:
    return [line for value in values for line in ((EQUAL, 0, 1, value), _allowed())]


def _refused_when_one_of(values: Iterable[int]) -> list[Line]:
    return [line for value in values for line in ((EQUAL, 0, 1, value), _refused())]


def _allowed() -> Line:
    return RETURN, 0, 0, ALLOW


def _refused() -> Line:
    return RETURN, 0, 0, ERROR | errno.EPERM
