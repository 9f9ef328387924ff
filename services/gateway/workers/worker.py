"""One worker as its parent sees it: the process, the way to it, what it serves and its metrics."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from headgate.runtime.parent import PARENT_VARIABLE
from headgate.runtime.restarts import Restarts, how_it_ended
from headgate.runtime.service import FATAL_EXITS
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.workers.channel import ENDED, OPENED, PAGE, STATUS, Channel, Message
from services.gateway.workers.merged_routes import Routes

WORKER_VARIABLE = "HEADGATE_GATEWAY_WORKER"
"""Tells a process that it is a worker, by the number of the file that leads to its parent."""
COMMAND = (sys.executable, "-m", "services.gateway")

logger = logging.getLogger(__name__)


class Worker:
    """Start, look after and end it from one thread: the process ends when that thread does.

    `on_change` is called when the worker opens its ports, serves something else, or is gone; `on_end` once its process
    has ended, with a function that takes the last page of its metrics.
    """

    def __init__(
        self,
        number: int,
        environ: Mapping[str, str],
        on_change: Callable[[], None],
        on_end: Callable[[Callable[[], str]], None],
    ) -> None:
        self.number = number
        self.fatal_exit = 0
        """The exit code of a process that ended for a reason which a restart does not change."""
        self.is_open = False
        self.routes: Routes = []
        self._environ = environ
        self._on_change, self._on_end = on_change, on_end
        self._restarts = Restarts()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = self._start_at = 0.0
        self._page, self._has_page = "", threading.Event()
        self._is_stopping = False

    def keep_running(self) -> None:
        """Starts the process when it is due, and notes its end."""
        if self._process is not None and self._process.poll() is not None:
            self._note_end(self._process.returncode)
        if self._process is None and time.monotonic() >= self._start_at:
            try:
                self._start()
            except OSError as error:  # no memory or no process left; the other workers must go on
                logger.error("a worker cannot be started: %s", error, extra=self._next_start(0.0))

    def signal(self, number: int) -> None:
        """Sends a signal to the process, if it runs, so that it ends."""
        self._is_stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def has_ended(self) -> bool:
        """Whether no process runs."""
        return self._process is None or self._process.poll() is not None

    def ask_page(self) -> None:
        """Asks for the metrics. `page` waits for them."""
        self._has_page.clear()
        if not (self.is_open and self._channel.send(PAGE)):
            self._has_page.set()

    def page(self, limit_seconds: float) -> str:
        """The metrics that were asked for, or else the last ones; empty for a worker that never gave any."""
        self._has_page.wait(limit_seconds)
        return self._page

    def _take_page(self) -> str:
        page, self._page = self._page, ""
        return page

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        variables = {PARENT_VARIABLE: str(os.getpid()), WORKER_VARIABLE: str(theirs.fileno())}
        with theirs, ExitStack() as unless_started:
            unless_started.callback(ours.close)
            # A process group of its own: Ctrl-C reaches only the parent, which then stops its workers.
            self._process = subprocess.Popen(
                COMMAND,
                env={**self._environ, **variables},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
            unless_started.pop_all()
        self._started_at = time.monotonic()
        self._channel = Channel(ours)
        reader = threading.Thread(
            target=self._read, args=(self._channel, ours, self._process), name=f"worker-{self.number}", daemon=True
        )
        reader.start()

    def _read(self, channel: Channel, end: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        try:
            with end:
                while (message := channel.receive()) is not None:
                    self._take(message, process)
        finally:
            self._forget(channel, process)

    def _forget(self, channel: Channel, process: "subprocess.Popen[bytes]") -> None:
        """A killed worker serves no more from here on; that its process ended is noted a moment later.

        One that only cannot be heard any more must not go on answering unseen.
        """
        if not self._is_stopping:
            process.kill()
        if channel is self._channel:
            self.is_open, self.routes = False, []
            self._has_page.set()
            self._on_change()

    def _take(self, message: Message, process: "subprocess.Popen[bytes]") -> None:
        kind, content = message
        if kind == OPENED:
            self.is_open = True
            self._on_change()
        elif kind == STATUS:
            # A list, because not every implementation of protobuf compares its own with others.
            routes = list(telemetry.GatewayStatus.FromString(content).routes)
            changed, self.routes = routes != self.routes, routes
            if changed:
                self._on_change()
        elif kind == PAGE:
            self._page = content.decode()
            self._has_page.set()
        elif kind == ENDED:
            what = {"worker": self.number, "ended": content.decode()}
            logger.error("a part of a worker has ended, so the worker is started again", extra=what)
            process.kill()

    def _note_end(self, returncode: int) -> None:
        self._process = None
        self.fatal_exit = returncode if returncode in FATAL_EXITS else 0
        what = self._next_start(time.monotonic() - self._started_at)
        self._on_end(self._take_page)
        self._on_change()
        logger.error("a worker ended %s", how_it_ended(returncode), extra=what)

    def _next_start(self, ran_seconds: float) -> dict[str, float]:
        """Decides when to start the process again. Returns it for the log."""
        wait_seconds = self._restarts.wait_seconds(ran_seconds)
        self._start_at = time.monotonic() + wait_seconds
        return {"worker": self.number, "restarts_in_seconds": wait_seconds}
