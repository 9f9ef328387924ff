"""Knows the heads of requests that came before by their bytes. A client repeats its head."""

from hashlib import sha256
from typing import NamedTuple

from headgate.runtime.rpc.headers import AUTHORIZATION
from services.gateway.rest.http_messages import HttpRequest
from services.gateway.rest.peer import NO_PEER, Peer

MAX_KNOWN = 256
"""When so many are known, all are forgotten: then they are hardly ever repeated."""
MAX_HEAD_BYTES = 4 * 1024
"""A longer head is read each time."""
END = b"\r\n\r\n"
NOT_KNOWN = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""With these headers it is not the length alone that says where the request ends."""
_AUTHORIZATION = AUTHORIZATION.encode()


class _Known(NamedTuple):
    request: HttpRequest
    """Without its body, its peer and its token."""
    body_bytes: int
    token: slice | None
    """Where the token stands in the head, if it has one."""


class KnownHeads:
    """The heads that all connections of a server have sent. One with a token is known by its SHA-256 alone."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._has_tokens = False

    def request(self, data: bytes, peer: Peer = NO_PEER) -> HttpRequest | None:
        """The request that these bytes of the peer are, if it is one whole request whose head is known."""
        start = data.find(END, 0, MAX_HEAD_BYTES) + len(END)
        head = data[:start]
        known = self._known.get(head)
        if known is None and self._has_tokens:
            known = self._known.get(sha256(head).digest())
        if known is None or len(data) != start + known.body_bytes:
            return None
        like, token = known.request, known.token
        headers = like.headers if token is None else {**like.headers, _AUTHORIZATION: head[token]}
        return HttpRequest(like.method, like.target, headers, data[start:], peer=peer)

    def learn(self, data: bytes, request: HttpRequest) -> None:
        """Remembers the head of a request that was read of these bytes, and of nothing else."""
        start = data.find(END, 0, MAX_HEAD_BYTES) + len(END)
        is_plain = request.keep_alive and not request.is_http10 and NOT_KNOWN.isdisjoint(request.headers)
        # No path takes a query, and a query may have a token.
        if not is_plain or b"?" in request.target or start < len(END) or len(data) != start + len(request.body):
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        head, headers = data[:start], dict(request.headers)
        value = headers.pop(_AUTHORIZATION, None)
        like = request._replace(body=b"", peer=NO_PEER, headers=headers)
        if value is None:
            self._known[head] = _Known(like, len(request.body), None)
        elif (at := head.find(value)) >= 0:  # of several values it is not a part of the head
            self._known[sha256(head).digest()] = _Known(like, len(request.body), slice(at, at + len(value)))
            self._has_tokens = True
