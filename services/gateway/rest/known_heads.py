"""Knows the heads of requests that came before by their bytes. A client repeats its head."""

from typing import NamedTuple

from services.gateway.rest.http_messages import HttpRequest
from services.gateway.rest.peer import NO_PEER, Peer

MAX_KNOWN = 256
"""When so many are known, all are forgotten: then they are hardly ever repeated."""
MAX_HEAD_BYTES = 4 * 1024
"""A longer head is read each time."""
END = b"\r\n\r\n"
NOT_KNOWN = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""With these headers it is not the length alone that says where the request ends."""


class _Known(NamedTuple):
    request: HttpRequest
    body_bytes: int


class KnownHeads:
    """The heads that all connections of a server have sent."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}

    def request(self, data: bytes, peer: Peer = NO_PEER) -> HttpRequest | None:
        """The request that these bytes of the peer are, if it is one whole request whose head is known."""
        start = data.find(END, 0, MAX_HEAD_BYTES) + len(END)
        known = self._known.get(data[:start])
        if known is None or len(data) != start + known.body_bytes:
            return None
        like = known.request
        return HttpRequest(like.method, like.target, like.headers, data[start:], peer=peer)

    def learn(self, data: bytes, request: HttpRequest) -> None:
        """Remembers the head of a request that was read of these bytes, and of nothing else."""
        start = data.find(END, 0, MAX_HEAD_BYTES) + len(END)
        is_plain = request.keep_alive and not request.is_http10 and NOT_KNOWN.isdisjoint(request.headers)
        if is_plain and start >= len(END) and len(data) == start + len(request.body):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[data[:start]] = _Known(request._replace(body=b"", peer=NO_PEER), len(request.body))
