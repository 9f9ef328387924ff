"""Devices that read one file share it in memory, and too many at once are refused with the time to wait."""

import asyncio
import threading
from contextlib import AsyncExitStack

import grpc
import pytest

from headgate.runtime.errors import RpcRefused
from services.gateway.fleet.shared_blobs import SharedBlobs


class Store:
    """Counts how often it is read. It waits for its gate, as a slow store does."""

    def __init__(self):
        self.reads = []
        self.gate = threading.Event()

    def view(self, sha256):
        self.gate.wait()
        self.reads.append(sha256)
        return memoryview(sha256.encode())


@pytest.fixture
def store():
    return Store()


def run(work):
    return asyncio.run(work)


def test_two_readers_at_once_read_the_store_once(store):
    async def work():
        blobs = SharedBlobs(store.view)
        store.gate.set()
        async with blobs.reading("a", 5) as first, blobs.reading("a", 5) as second:
            assert first is second
        async with blobs.reading("a", 5):
            pass
        blobs.close()

    run(work())
    assert store.reads == ["a", "a"]


@pytest.mark.parametrize(
    ("limits", "sizes"), [({"max_readers": 2}, [1, 1, 1]), ({"max_bytes": 10}, [6, 4, 1])], ids=["readers", "bytes"]
)
def test_more_than_the_limit_at_once_is_refused_and_later_taken(store, limits, sizes):
    async def work():
        blobs = SharedBlobs(store.view, **limits)
        store.gate.set()
        async with AsyncExitStack() as stack:
            for number, size in enumerate(sizes[:-1]):
                await stack.enter_async_context(blobs.reading(f"file-{number}", size))
            with pytest.raises(RpcRefused, match="the most at once") as refused:
                await stack.enter_async_context(blobs.reading("another", sizes[-1]))
            assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refused.value.retry_after_seconds
        async with blobs.reading("another", sizes[-1]):
            pass
        blobs.close()

    run(work())


def test_a_file_larger_than_the_limit_is_read_alone(store):
    async def work():
        blobs = SharedBlobs(store.view, max_bytes=10)
        store.gate.set()
        async with blobs.reading("large", 50):
            with pytest.raises(RpcRefused):
                async with blobs.reading("small", 1):
                    pass
        blobs.close()

    run(work())


def test_a_reader_that_goes_away_does_not_end_the_read_of_another(store):
    async def work():
        blobs = SharedBlobs(store.view)

        async def read():
            async with blobs.reading("a", 5) as data:
                return bytes(data)

        first, second = asyncio.create_task(read()), asyncio.create_task(read())
        await asyncio.sleep(0)
        first.cancel()
        store.gate.set()
        assert await second == b"a"
        blobs.close()

    run(work())
    assert store.reads == ["a"]
