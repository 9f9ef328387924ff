"""The first program in a jail: it takes the limits upon itself, gives up its rights, and becomes the command.

python -I -S stage.py LIMITS COMMAND...

LIMITS is words such as memory=1024. Each attempt waits for its start, so it imports next to nothing.
"""

import os
import resource
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of Landlock's system calls, the same on every machine."""
RULE_NET_PORT = 2
BIND_TCP, CONNECT_TCP = 1, 2
SCOPES = 3
"""No abstract sockets and no signals beyond the jail."""
SCOPE_VERSION = 6
EXIT_NOT_FOUND = 127
NO_PORTS = (
    "a jail with network needs Landlock of Linux 6.7 or newer: take the repository out of"
    " HEADGATE_NETWORK_REPOSITORIES, or update the trainer's machine"
)
LIMITS = {
    "memory": resource.RLIMIT_DATA,
    "file": resource.RLIMIT_FSIZE,
    "core": resource.RLIMIT_CORE,
    "processes": resource.RLIMIT_NPROC,
}


def main() -> None:
    """Returns only when the command cannot be started."""
    asked, command = dict(word.split("=") for word in sys.argv[1].split()), sys.argv[2:]
    if "ports" in asked:
        try:
            restrict_network([int(port) for port in asked["ports"].split(",")])
        except OSError:
            sys.exit(NO_PORTS)
    if user := int(asked["user"]):
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    for name in filter(LIMITS.__contains__, asked):
        limit(LIMITS[name], int(asked[name]))
    if cpus := int(asked["cpus"]):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    os.umask(0o022)
    for name in asked["unset"].split(","):
        os.environ.pop(name, None)
    try:
        os.execvp(command[0], command)  # nosec B606
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
    sys.exit(EXIT_NOT_FOUND)


def limit(name: int, most: int) -> None:
    """Never above the limit that holds already."""
    _, hard = resource.getrlimit(name)
    lowest = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(name, (lowest, lowest))


def restrict_network(ports: list[int]) -> None:
    """Only connections to these ports, no listening, and no abstract sockets of the machine. Raises OSError."""
    import struct

    version = system_call(CREATE_RULESET, None, 0, 1)
    scoped = SCOPES if version >= SCOPE_VERSION else 0
    rules = struct.pack("=QQQ", 0, BIND_TCP | CONNECT_TCP, scoped)[: 24 if scoped else 16]
    descriptor = system_call(CREATE_RULESET, rules, len(rules), 0)
    for port in ports:
        system_call(ADD_RULE, descriptor, RULE_NET_PORT, struct.pack("=QQ", CONNECT_TCP, port), 0)
    system_call(RESTRICT_SELF, descriptor, 0)
    os.close(descriptor)


def system_call(number: int, *arguments: object) -> int:
    import ctypes

    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


if __name__ == "__main__":
    main()
