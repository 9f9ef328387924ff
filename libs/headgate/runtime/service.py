"""The life of a service process: build, start, report ready, wait for a signal, drain within the grace."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NoReturn, Protocol

from headgate.log.port import LogError, LogRefused, LogUnavailable, RecordsLost, TopicMismatch
from headgate.runtime.connections import raise_file_limit
from headgate.runtime.errors import CannotListen
from headgate.runtime.observability import tracing
from headgate.runtime.observability.logs import LEVELS, LogLevel, log_to_stderr
from headgate.runtime.parent import PARENT_VARIABLE, end_with_parent
from headgate.runtime.settings import CHECK, SettingsError, from_env

GRACE_SECONDS = 10.0
"""How long a service may take to finish its work in progress; HEADGATE_GRACE_SECONDS sets another time."""
OVERTIME_SECONDS = 5.0
"""A service that still runs this long after its grace is stuck, and its process is ended."""
LAST_SPANS_SECONDS = 2.0
"""How long to wait until the last spans are sent."""
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
    EXIT_TOPICS_DIFFER: "found topics whose settings differ from the declared ones",
    EXIT_LOG_REFUSED: "is refused by the log",
    EXIT_RECORDS_LOST: "misses facts that the log had before",
}
"""Exit codes after which a restart changes nothing, each with the words for `headgate up`."""
CODES: Sequence[tuple[type[Exception], int]] = (
    (SettingsError, EXIT_BAD_SETTINGS),
    (TopicMismatch, EXIT_TOPICS_DIFFER),
    (RecordsLost, EXIT_RECORDS_LOST),
    (LogRefused, EXIT_LOG_REFUSED),
    (LogUnavailable, EXIT_LOG_UNAVAILABLE),
    (LogError, EXIT_BAD_SETTINGS),
    (CannotListen, EXIT_FAILED),
)
"""Errors that are logged without a traceback, each with its exit code. The first type that matches counts."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """The settings of the process. The settings of a service contain them."""

    traces: str = field(default="", metadata={CHECK: tracing.require_endpoint})
    """The OTLP gRPC endpoint for spans, such as http://otel:4317; empty for no spans."""
    log_level: LogLevel = LogLevel.INFO


class Service(Protocol):
    """What a service's `app.build()` returns."""

    @property
    def name(self) -> str: ...

    @property
    def grace_seconds(self) -> float: ...

    def start(self) -> int:
        """Starts the service. Returns its gRPC port once it takes work; 0 when it has none."""
        ...

    def stop(self, grace_seconds: float) -> None:
        """Stops taking work at once, finishes the work in progress within the grace, and closes the log."""
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


class _Events:
    """What the main thread waits for. A signal wakes this thread, whichever thread the system gives the signal to."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Started | _Failed] = SimpleQueue()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)

    def put(self, event: _Started | _Failed) -> None:
        self._queue.put(event)
        self._waking.send(NO_SIGNAL)

    def next(self) -> _Started | _Failed | _Signalled:
        """Waits for the next event. Python writes the number of each signal to the socket, and `put` writes 0."""
        woken_by = self._woken.recv(1)
        return self._queue.get() if woken_by == NO_SIGNAL else _Signalled(woken_by[0])


def run(build: Callable[[], Service], name: str = "headgate") -> NoReturn:
    """Runs the service until SIGTERM or SIGINT and exits: 0 after a clean stop, 70 when the stop is stuck.

    Otherwise 78 for bad settings, 65 when the log's topics differ from the declared ones, 69 when the log does not
    answer within the service's limit, 77 when it refuses the service, 74 when facts are lost, 1 for anything else.
    """
    log_to_stderr(name)
    raise_file_limit()
    events = _Events()
    if parent := os.environ.get(PARENT_VARIABLE):
        end_with_parent(int(parent))
    # The start may wait for the log and read all of it, so it has its own thread. The main thread receives the signals.
    threading.Thread(target=_start, args=(build, name, events), name="start", daemon=True).start()
    code = _run_until_stopped(events)
    tracing.stop(LAST_SPANS_SECONDS)
    # Other threads are not waited for: another process does their work by now.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _start(build: Callable[[], Service], name: str, events: _Events) -> None:
    try:
        # The service reads its own settings first, with these among them: its error names all that are wrong.
        service = build()
        settings = from_env(ProcessSettings, os.environ)
        log_to_stderr(service.name, LEVELS[settings.log_level])
        tracing.start(settings.traces, name, service.name)
        events.put(_Started(service, service.start()))
    except BaseException as error:  # noqa: BLE001  # the main thread reports the error and ends the process
        events.put(_Failed(error))


def _run_until_stopped(events: _Events) -> int:
    """Returns the exit code."""
    match events.next():
        case _Failed(error):
            return _report(error)
        case _Signalled(number):
            # A service takes no work before it is ready, so there is nothing to drain.
            logger.info("stopped after %s, before it was ready", signal.Signals(number).name)
            return 0
        case _Started(service, port):
            logger.info("ready %s port=%d", service.name, port)
    return _stop(service, events)


def _report(error: BaseException) -> int:
    """Logs why the service does not run, without a traceback when the reason is known. Returns the exit code."""
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


def _stop(service: Service, events: _Events) -> int:
    """Waits for a signal and drains; further signals change nothing. Returns the exit code."""
    event = events.next()
    if isinstance(event, _Signalled):
        logger.info("stopping after %s", signal.Signals(event.number).name)
    watchdog = threading.Timer(service.grace_seconds + OVERTIME_SECONDS, os._exit, [EXIT_STUCK])
    watchdog.daemon = True
    watchdog.start()
    try:
        service.stop(service.grace_seconds)
    except Exception:
        logger.exception("the service failed while it stopped")
        return EXIT_FAILED
    logger.info("stopped")
    return 0
