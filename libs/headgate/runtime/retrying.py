"""A thread that repeats its work, and tries again after a pause when the work fails with a temporary error."""

import threading
from collections.abc import Callable

from headgate.log.port import LogError

RETRY_SECONDS = 0.5
"""The pause after a temporary error."""


class RetryingThread:
    """Calls `work` again and again until it is stopped. `work` must return soon once `is_stopping` is true.

    An error of the types `temporary` goes to `on_error`, and the next call follows after `retry_seconds`. Any other
    error ends the thread. Then `is_alive` is false, and the /livez of a service that watches the thread fails.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        on_error: Callable[[Exception], None],
        retry_seconds: float = RETRY_SECONDS,
        temporary: tuple[type[Exception], ...] = (LogError,),
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._retry_seconds = retry_seconds
        self._temporary = temporary
        self._stopping = threading.Event()
        self._on_stop: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Whether the thread was asked to end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def pause(self, seconds: float) -> bool:
        """Waits, for use inside the work. Returns whether the thread was asked to end."""
        return self._stopping.wait(seconds)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Calls back when the thread is asked to end, at once if it was already. For work that waits elsewhere."""
        self._on_stop = callback
        if self._stopping.is_set():
            callback()

    def stop_soon(self) -> None:
        """Asks the thread to end and does not wait for it."""
        self._stopping.set()
        if self._on_stop is not None:
            self._on_stop()

    def stop(self, timeout_seconds: float) -> None:
        """Asks the thread to end and waits at most `timeout_seconds` for it."""
        self.stop_soon()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except self._temporary as error:
                self._on_error(error)
                self._stopping.wait(self._retry_seconds)
