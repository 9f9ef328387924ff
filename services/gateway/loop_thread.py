"""The event loop of a gateway's servers, in a thread of its own. The rest of the service stays synchronous."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

STOP_MARGIN_SECONDS = 2.0

Result = TypeVar("Result")


def run_on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
    """Runs it on a loop of another thread and waits for its result. Raises TimeoutError, and what the work raises."""
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout_seconds)


class LoopThread:
    """It runs from `start` to `stop`."""

    def __init__(self, name: str) -> None:
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        """Runs it on the loop and waits for its result. Raises TimeoutError, and what the work raises."""
        return run_on(self.loop, work, timeout_seconds)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_MARGIN_SECONDS)
        self.loop.close()
