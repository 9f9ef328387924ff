"""The life of a service process: build, start, say ready, wait for a signal, stop within the grace."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NoReturn, Protocol

from headgate.log.port import LogError, LogRefused, LogUnavailable, TopicMismatch
from headgate.runtime.logs import log_to_stderr
from headgate.runtime.parent import PARENT_VARIABLE, die_with_parent
from headgate.runtime.settings import SettingsError

GRACE_SECONDS = 10.0
OVERTIME_SECONDS = 5.0
EXIT_BAD_SETTINGS = 78
EXIT_TOPICS_DIFFER = 65
EXIT_LOG_UNAVAILABLE = 69
EXIT_LOG_REFUSED = 77
EXIT_STUCK = 70
HOPELESS = {
    EXIT_BAD_SETTINGS: "refuses its settings",
    EXIT_TOPICS_DIFFER: "finds topics with other settings than the declared ones",
    EXIT_LOG_REFUSED: "is turned away by the log",
}
"""Exit codes after which starting again changes nothing, and what they say."""

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
    """Runs the service until SIGTERM or SIGINT and exits: 0 after a clean stop.

    Otherwise 78 for bad settings, 65 for a log whose topics differ from the declared ones, 69 when the log does not
    answer within the service's limit, 77 when it turns us away.
    """
    log_to_stderr(name)
    _on_signal(lambda _number, _frame: sys.exit(0))  # while the log is waited for there is nothing to finish
    if parent := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent))
    signals: SimpleQueue[int] = SimpleQueue()
    try:
        service = build()
        _on_signal(lambda number, _frame: signals.put(number))
        log_to_stderr(service.name)
        port = service.start()
    except (SettingsError, LogError) as error:
        sys.exit(_told(error))
    logger.info("ready %s port=%d", service.name, port)
    received = signals.get()
    logger.info("stopping after %s", signal.Signals(received).name)
    _stop(service)
    sys.exit(0)


def _on_signal(react: Callable[[int, object], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, react)


def _told(error: SettingsError | LogError) -> int:
    """Says why the service does not run, without a traceback; answers the exit code."""
    problems: Sequence[str] = [str(error)]
    match error:
        case SettingsError():
            code, problems = EXIT_BAD_SETTINGS, error.problems
        case TopicMismatch():
            code, problems = EXIT_TOPICS_DIFFER, error.differences
        case LogRefused():
            code = EXIT_LOG_REFUSED
        case LogUnavailable():
            code = EXIT_LOG_UNAVAILABLE
        case _:
            code = EXIT_BAD_SETTINGS
    for problem in problems:
        logger.error(problem)
    return code


def _stop(service: Service) -> None:
    watchdog = threading.Timer(GRACE_SECONDS + OVERTIME_SECONDS, os._exit, [EXIT_STUCK])
    watchdog.daemon = True
    watchdog.start()
    service.stop(GRACE_SECONDS)
