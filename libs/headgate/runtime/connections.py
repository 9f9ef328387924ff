"""How many connections a port may take: never so many that the process can open no other file."""

import resource

MAX_CONNECTIONS = 10_000
FILES_FOR_OTHERS = 256
"""File descriptors that stay for all else than connections."""


def max_connections() -> int:
    """MAX_CONNECTIONS, or as many as the process may have files open."""
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft_limit < 0 else max(1, min(MAX_CONNECTIONS, soft_limit - FILES_FOR_OTHERS))
