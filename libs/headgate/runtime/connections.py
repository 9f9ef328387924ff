"""How many connections a port may take: never so many that the process can open no other file."""

import resource

MAX_CONNECTIONS = 10_000
PORTS = 2
"""A gateway has most ports for callers: gRPC and REST."""
FILES_FOR_OTHERS = 256
"""File descriptors that stay for all else than connections."""
FILES = PORTS * MAX_CONNECTIONS + FILES_FOR_OTHERS


def raise_file_limit() -> None:
    """Lets this process open as many files as all connections need, or as many as the system lets it.

    The usual limit of 1,024 is for programs that use `select`.
    """
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit != resource.RLIM_INFINITY and soft_limit < FILES:
        allowed = FILES if hard_limit == resource.RLIM_INFINITY else min(FILES, hard_limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard_limit))


def max_connections() -> int:
    """MAX_CONNECTIONS, or this port's share of the files that the process may have open."""
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, (soft_limit - FILES_FOR_OTHERS) // PORTS))
