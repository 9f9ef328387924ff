"""The life of a service process: build, start, say ready, wait for a signal, stop within the grace."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NoReturn, Protocol

from headgate.runtime.logs import log_to_stderr
from headgate.runtime.parent import PARENT_VARIABLE, die_with_parent
from headgate.runtime.settings import SettingsError

GRACE_SECONDS = 10.0
OVERTIME_SECONDS = 5.0
EXIT_BAD_SETTINGS = 78
EXIT_STUCK = 70

logger = logging.getLogger(__name__)


class Service(Protocol):
    """What app.build() returns."""

    @property
    def name(self) -> str: ...

    def start(self) -> int:
        """Returns the port of its gRPC door once it answers; 0 when it has none."""
        ...

    def stop(self, grace_seconds: float) -> None: ...


def run(build: Callable[[], Service], name: str = "headgate") -> NoReturn:
    """Runs the service until SIGTERM or SIGINT and exits: 0 after a clean stop, 78 for bad settings."""
    log_to_stderr(name)
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.put(received))
    if parent := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent))
    try:
        service = build()
    except SettingsError as error:
        for problem in error.problems:
            logger.error(problem)
        sys.exit(EXIT_BAD_SETTINGS)
    log_to_stderr(service.name)
    port = service.start()
    logger.info("ready %s port=%d", service.name, port)
    received = signals.get()
    logger.info("stopping after %s", signal.Signals(received).name)
    _stop(service)
    sys.exit(0)


def _stop(service: Service) -> None:
    watchdog = threading.Timer(GRACE_SECONDS + OVERTIME_SECONDS, os._exit, [EXIT_STUCK])
    watchdog.daemon = True
    watchdog.start()
    service.stop(GRACE_SECONDS)
