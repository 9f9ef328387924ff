"""Messages between the processes of one gateway, over a socket pair: a kind and bytes."""

import socket
import struct
import threading
from typing import NamedTuple

STATUS, ENDED, OPENED, PAGE = b"S", b"E", b"O", b"P"
"""A worker's routes; the loop of it that has ended; that its ports are open; its metrics, asked for by an empty one."""
MAX_MESSAGE_BYTES = 64 * 2**20
SEND_SECONDS = 5
_HEAD = struct.Struct(">cI")
_TIMEOUT = struct.Struct("ll")


class Message(NamedTuple):
    kind: bytes
    content: bytes = b""


class Channel:
    """One end. Any thread may send, and one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        # Not settimeout, which would limit how long to wait for a message too.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT.pack(SEND_SECONDS, 0))

    def send(self, kind: bytes, content: bytes = b"") -> bool:
        """Whether the message is on its way. After the first that is not, the channel is closed."""
        with self._lock:
            try:
                self._end.sendall(_HEAD.pack(kind, len(content)) + content)
            except OSError:
                self.close()
                return False
        return True

    def receive(self) -> Message | None:
        """The next message; None when the other end is closed."""
        head = self._exactly(_HEAD.size)
        if head is None:
            return None
        kind, size = _HEAD.unpack(head)
        content = self._exactly(size) if size <= MAX_MESSAGE_BYTES else None
        return None if content is None else Message(kind, content)

    def close(self) -> None:
        """Ends the channel, also for the thread that receives."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            return

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._end.recv(min(size - len(parts), 2**16))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)
