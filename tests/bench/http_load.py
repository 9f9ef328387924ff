"""Callers of an HTTP/1.1 server that send one request after the other, each on a connection of its own."""

import asyncio
import re
import time
from dataclasses import dataclass, field

import uvloop

from tests.bench.results import Slice

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
END = b"\r\n\r\n"


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """The bytes of one request. Each line of `headers` ends with CR LF."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(slots=True)
class Load:
    """What the callers of one slice have seen."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0

    def figures(self, seconds: float, server_cpu_s: float) -> Slice:
        """What a slice of so many seconds shows, in which the server took so much CPU time."""
        return {
            "requests/s": len(self.seconds) / seconds,
            "p50 ms": self.percentile_ms(0.5),
            "p99 ms": self.percentile_ms(0.99),
            "us CPU/request": server_cpu_s / len(self.seconds) * 1e6,
        }

    def percentile_ms(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] * 1e3


def run(port: int, request: bytes, callers: int, seconds: float) -> Load:
    """Lets the callers ask for so long. Raises RuntimeError when one of them was answered with an error."""
    load = Load()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(port, request, callers, seconds, load))
    if load.errors:
        raise RuntimeError(f"{load.errors} of {len(load.seconds)} answers were errors")
    return load


async def _run(port: int, request: bytes, callers: int, seconds: float, load: Load) -> None:
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Caller(request, load), "127.0.0.1", port) for _ in range(callers)]
    await asyncio.sleep(seconds)
    for transport, _ in opened:
        transport.abort()


class Caller(asyncio.Protocol):
    """Asks again as soon as the answer is complete."""

    def __init__(self, request: bytes, load: Load) -> None:
        self._request, self._load = request, load
        self._received, self._expected = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected and (end := self._received.find(END)) >= 0:
            length = LENGTH.search(self._received)
            self._expected = end + len(END) + (int(length[1]) if length else 0)
        if self._expected and len(self._received) >= self._expected:
            self._load.seconds.append(time.perf_counter() - self._asked_at)
            self._load.errors += not self._received.startswith(b"HTTP/1.1 200")
            self._ask()

    def _ask(self) -> None:
        self._received, self._expected = b"", 0
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]
