"""Callers of a gRPC server that send one unary request after the other, each on a connection of its own.

They write the frames of HTTP/2 (RFC 9113) themselves: a client library would take more of the machine than the servers.
"""

import asyncio
import struct
import time

import uvloop

from tests.bench.http_load import Load
from tests.http2_frames import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS, frame, headers_of

PING, WINDOW_UPDATE = 6, 8
ACK = 1
HEAD = 9
FRAME_BYTES = 16 * 1024
"""A server takes no larger frame unless its settings say so."""
MAX_FRAME_SIZE = 5
WINDOW_BYTES = 2**30
"""So many bytes of answers each caller takes before it says that it takes more."""


def run(port: int, method: str, message: bytes, callers: int, seconds: float) -> Load:
    """Lets the callers ask for so long. Raises RuntimeError when one of them got no message, or lost its connection."""
    load, prefix = Load(), struct.pack(">?I", False, len(message))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(port, headers_of(method), prefix + message, callers, seconds, load))
    if load.errors:
        raise RuntimeError(f"{load.errors} of {len(load.seconds)} calls were errors")
    return load


async def _run(port: int, headers: bytes, body: bytes, callers: int, seconds: float, load: Load) -> None:
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Caller(headers, body, load), "127.0.0.1", port) for _ in range(callers)
    ]
    await asyncio.sleep(seconds)
    for transport, caller in opened:
        caller.is_done = True
        transport.abort()


class Caller(asyncio.Protocol):
    """Asks again as soon as the answer is complete."""

    def __init__(self, headers: bytes, body: bytes, load: Load) -> None:
        self._headers, self._body, self._load = headers, body, load
        self._received = bytearray()
        self._stream = -1
        self._has_message = False
        self._frame_bytes = FRAME_BYTES
        self.is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW_BYTES))
        more = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_BYTES))
        self._write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + more)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= HEAD:
            end = HEAD + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                return
            kind, flags = self._received[3], self._received[4]
            stream, payload = int.from_bytes(self._received[5:9], "big"), bytes(self._received[HEAD:end])
            del self._received[:end]
            self._handle(kind, flags, stream, payload)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.errors += not self.is_done

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (SETTINGS, PING) and not flags & ACK:
            if kind == SETTINGS:
                self._frame_bytes = dict(struct.iter_unpack(">HI", payload)).get(MAX_FRAME_SIZE, FRAME_BYTES)
            self._write(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == GOAWAY:
            self._transport.abort()  # type: ignore[attr-defined]
        elif kind in (DATA, HEADERS) and stream == self._stream:
            self._has_message |= kind == DATA and len(payload) > 0
            if flags & END_STREAM:
                self._load.seconds.append(time.perf_counter() - self._asked_at)
                self._load.errors += not self._has_message
                self._ask()

    def _ask(self) -> None:
        self._stream, self._has_message = self._stream + 2, False
        self._asked_at = time.perf_counter()
        self._write(frame(HEADERS, END_HEADERS, self._stream, self._headers))
        size, body = self._frame_bytes, self._body
        for start in range(0, len(body), size):
            part = body[start : start + size]
            self._write(frame(DATA, END_STREAM if start + size >= len(body) else 0, self._stream, part))

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]
