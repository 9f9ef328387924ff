"""The life of a service process: build, start, say ready, wait for a signal, drain within the grace."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NoReturn, Protocol

from headgate.log.port import LogError, LogRefused, LogUnavailable, RecordsLost, TopicMismatch
from headgate.runtime.errors import CannotListen
from headgate.runtime.observability import tracing
from headgate.runtime.observability.logs import LEVELS, LogLevel, log_to_stderr
from headgate.runtime.parent import PARENT_VARIABLE, die_with_parent
from headgate.runtime.settings import SettingsError, from_env

GRACE_SECONDS = 10.0
"""How long a service takes at most to finish what is in hand, unless HEADGATE_GRACE_SECONDS says otherwise."""
OVERTIME_SECONDS = 5.0
"""A service that has not ended this long after its grace is stuck and is ended."""
LAST_SPANS_SECONDS = 2.0
NO_SIGNAL = b"\0"
EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 78
EXIT_TOPICS_DIFFER = 65
EXIT_LOG_UNAVAILABLE = 69
EXIT_LOG_REFUSED = 77
EXIT_RECORDS_LOST = 74
EXIT_STUCK = 70
FATAL_EXITS = {
    EXIT_BAD_SETTINGS: "refuses its settings",
    EXIT_TOPICS_DIFFER: "finds topics with other settings than the declared ones",
    EXIT_LOG_REFUSED: "is turned away by the log",
    EXIT_RECORDS_LOST: "misses facts that the log once had",
}
"""Exit codes after which starting again changes nothing, and what they say."""
CODES: Sequence[tuple[type[Exception], int]] = (
    (SettingsError, EXIT_BAD_SETTINGS),
    (TopicMismatch, EXIT_TOPICS_DIFFER),
    (RecordsLost, EXIT_RECORDS_LOST),
    (LogRefused, EXIT_LOG_REFUSED),
    (LogUnavailable, EXIT_LOG_UNAVAILABLE),
    (LogError, EXIT_BAD_SETTINGS),
    (CannotListen, EXIT_FAILED),
)
"""What is told without a traceback, and how the process ends then; the first kind that fits."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What every service takes from its environment beside its own settings."""

    traces: str = ""
    """An OTLP gRPC endpoint such as http://otel:4317 that takes spans; empty for none."""
    log_level: LogLevel = LogLevel.INFO


class Service(Protocol):
    """What app.build() returns."""

    @property
    def name(self) -> str: ...

    @property
    def grace_seconds(self) -> float: ...

    def start(self) -> int:
        """Returns the port of its gRPC door once it takes work; 0 when it has none."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Takes no more work at once, finishes what is in hand within the grace, and leaves the log."""
        ...


@dataclass(frozen=True, slots=True)
class _Started:
    service: Service
    port: int


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


@dataclass(frozen=True, slots=True)
class _Signalled:
    number: int


class _Happenings:
    """What the main thread waits for. A signal wakes it whichever thread the system gives the signal to."""

    def __init__(self) -> None:
        self._happened: SimpleQueue[_Started | _Failed] = SimpleQueue()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)

    def put(self, happening: _Started | _Failed) -> None:
        self._happened.put(happening)
        self._waking.send(NO_SIGNAL)

    def next(self) -> _Started | _Failed | _Signalled:
        """Waits without looking again and again: Python writes the number of each signal, and `put` writes none."""
        happened = self._woken.recv(1)
        return self._happened.get() if happened == NO_SIGNAL else _Signalled(happened[0])


def run(build: Callable[[], Service], name: str = "headgate") -> NoReturn:
    """Runs the service until SIGTERM or SIGINT and exits: 0 after a clean stop, 70 when the stop is stuck.

    Otherwise 78 for bad settings, 65 for a log whose topics differ from the declared ones, 69 when the log does not
    answer within the service's limit, 77 when it turns us away, 74 when facts are gone from it, 1 for anything else.
    """
    log_to_stderr(name)
    happenings = _Happenings()
    if parent := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent))
    # Beside the main thread, which hears signals: a start may wait for the log, and read all of it.
    threading.Thread(target=_start, args=(build, name, happenings), name="start", daemon=True).start()
    code = _live(happenings)
    tracing.stop(LAST_SPANS_SECONDS)
    # Threads are not waited for: what they could still do is another process's by now.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _start(build: Callable[[], Service], name: str, happenings: _Happenings) -> None:
    try:
        settings = from_env(ProcessSettings, os.environ)
        service = build()
        log_to_stderr(service.name, LEVELS[settings.log_level])
        tracing.start(settings.traces, name, service.name)
        happenings.put(_Started(service, service.start()))
    except BaseException as error:  # noqa: BLE001  # the main thread says what it was and ends the process
        happenings.put(_Failed(error))


def _live(happenings: _Happenings) -> int:
    """Returns the exit code."""
    match happenings.next():
        case _Failed(error):
            return _told(error)
        case _Signalled(number):
            # No work is taken before the service is ready, so nothing is in hand.
            logger.info("stopped after %s, before it was ready", signal.Signals(number).name)
            return 0
        case _Started(service, port):
            logger.info("ready %s port=%d", service.name, port)
    return _stop(service, happenings)


def _told(error: BaseException) -> int:
    """Says why the service does not run, without a traceback where the reason is known; answers the exit code."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), None)
    if code is None:
        logger.error("the service did not start", exc_info=error)
        return EXIT_FAILED
    for problem in _sentences(error):
        logger.error(problem)
    return code


def _sentences(error: BaseException) -> Sequence[str]:
    match error:
        case SettingsError():
            return error.problems
        case TopicMismatch():
            return error.differences
        case _:
            return [str(error)]


def _stop(service: Service, happenings: _Happenings) -> int:
    """Waits for a signal and drains; further signals change nothing."""
    happening = happenings.next()
    if isinstance(happening, _Signalled):
        logger.info("stopping after %s", signal.Signals(happening.number).name)
    watchdog = threading.Timer(service.grace_seconds + OVERTIME_SECONDS, os._exit, [EXIT_STUCK])
    watchdog.daemon = True
    watchdog.start()
    try:
        service.stop(service.grace_seconds)
    except Exception:
        logger.exception("the service did not stop well")
        return EXIT_FAILED
    logger.info("stopped")
    return 0
