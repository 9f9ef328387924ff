"""Holds the files that devices read in memory, each once for all of its readers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from headgate.artifacts.blobs import StoreError, StoreUnavailable
from headgate.runtime.errors import RpcRefused

MAX_READERS = 64
"""Devices that read at once."""
MAX_BYTES = 256 << 20
"""Files in memory together. One larger file is read alone."""
READ_THREADS = 2
RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Held:
    data: asyncio.Future[memoryview]
    size: int
    readers: int = 0


class SharedBlobs:
    """Runs on one event loop. `view` reads a file by its digest and checks it, in a thread."""

    def __init__(self, view: Callable[[str], memoryview], max_bytes: int = MAX_BYTES, max_readers: int = MAX_READERS):
        self._view = view
        self._max_bytes, self._max_readers = max_bytes, max_readers
        self._threads = ThreadPoolExecutor(READ_THREADS, "edge-blobs")
        self._held: dict[str, _Held] = {}

    @asynccontextmanager
    async def reading(self, sha256: str, size: int) -> AsyncIterator[memoryview]:
        """The bytes of the file. Raises RpcRefused when too much is read at once, and when the store lacks them."""
        held = self._held.get(sha256)
        if sum(each.readers for each in self._held.values()) >= self._max_readers:
            raise _too_many(f"{self._max_readers} devices read files")
        if held is None:
            if self._held and sum(each.size for each in self._held.values()) + size > self._max_bytes:
                raise _too_many(f"files of {self._max_bytes >> 20} MiB are being read")
            loop = asyncio.get_running_loop()
            held = self._held[sha256] = _Held(loop.run_in_executor(self._threads, self._view, sha256), size)
        held.readers += 1
        try:
            yield await _read(held.data)
        finally:
            held.readers -= 1
            if not held.readers:
                del self._held[sha256]

    def close(self) -> None:
        """Reads no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _read(data: asyncio.Future[memoryview]) -> memoryview:
    try:
        return await asyncio.shield(data)
    except StoreUnavailable as error:
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "store-unavailable", str(error)) from error
    except StoreError as error:
        raise RpcRefused(grpc.StatusCode.DATA_LOSS, "file-unusable", f"the artifact store fails: {error}") from error


def _too_many(why: str) -> RpcRefused:
    rule = f"{why} from this gateway, which is the most at once; try again later"
    return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-downloads", rule, retry_after_seconds=RETRY_SECONDS)
