"""A thread whose work begins again, after a pause, when it failed for a reason that may pass."""

import threading
from collections.abc import Callable

from headgate.log.port import LogError

RETRY_SECONDS = 0.5


class RetryingThread:
    """Calls `work` again and again until it is stopped; `work` returns soon once `is_stopping` is true.

    An error of `passing` is given to `on_error`, and the next call comes after `retry_seconds`. Any other error ends
    the thread: then `is_alive` is false, and /livez of a service that watches it fails.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        on_error: Callable[[Exception], None],
        retry_seconds: float = RETRY_SECONDS,
        passing: tuple[type[Exception], ...] = (LogError,),
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._retry_seconds = retry_seconds
        self._passing = passing
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Whether the thread was asked to end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def pause(self, seconds: float) -> bool:
        """Waits inside of the work; whether the thread was asked to end meanwhile."""
        return self._stopping.wait(seconds)

    def stop_soon(self) -> None:
        """Asks the thread to end; does not wait."""
        self._stopping.set()

    def stop(self, timeout_seconds: float) -> None:
        """Asks the thread to end and waits for it, within the limit."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except self._passing as error:
                self._on_error(error)
                self._stopping.wait(self._retry_seconds)
