"""Ports of this machine on which nothing listens."""

import random
import socket
from itertools import islice
from pathlib import Path

from headgate.domain.address import MAX_PORT

HOST = "127.0.0.1"
FIRST_PORT = 10_000
"""The lowest that is chosen; well-known programs listen below it."""
OF_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The kernel's file with the lowest and the highest port that it gives to outgoing connections."""
USUAL_RANGE = (32_768, MAX_PORT)


def free_ports(count: int) -> list[int]:
    """Some free ports. The kernel gives none of them to a connection before a server listens there."""
    low, high = _range_of_connections()
    everywhere = range(FIRST_PORT, MAX_PORT + 1)
    outside = [port for port in everywhere if not low <= port <= high] or list(everywhere)
    return list(islice(filter(is_free, random.sample(outside, len(outside))), count))


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def _range_of_connections() -> tuple[int, int]:
    try:
        low, high = map(int, OF_CONNECTIONS.read_text().split())
    except (OSError, ValueError):
        return USUAL_RANGE
    return low, high
