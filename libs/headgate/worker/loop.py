"""The loop of trainer, evaluator and deployer: fold -> due -> do -> report.

The loop is level-triggered: `due` computes from the folded state alone what should happen now. After a crash it gives
the same result.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from headgate.dead_letters.burials import WORK_FAILED, bury_command
from headgate.domain.subject import subject_of
from headgate.domain.texts import with_masked_texts
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import EventLog, LogError, LogUnavailable, Message, OutcomeUnknown
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.runtime.observability.work_log import current_trace_parent, note, unit_of_work
from headgate.runtime.retrying import RetryingThread
from headgate.v1 import commands_pb2 as commands
from headgate.worker.isolation import Undecidable, UndecidableReport

RESEND_SECONDS = 5.0
"""A command that is still due after this time is sent again. It has the same id, so it causes at most one fact."""
MAX_TRIES = 3
"""How often one process tries the same work. Then it gives up and records a dead letter."""
MAX_REMEMBERED = 10_000
REPORT_SECONDS = 3600.0
"""How long finished work waits for a log that does not answer. Then the work counts as failed and is done again."""
REPORT_PAUSE_SECONDS = 1.0
IN_PROGRESS = "headgate_work_in_hand"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Issue:
    """A command that is due. Its id is always the same for the same reason."""

    command: commands.Command


@dataclass(frozen=True, slots=True)
class DueWork:
    """Work that is due. `run` does it outside of the loop and returns the command that reports it."""

    key: str
    run: Callable[[], commands.Command | None]
    what: str = "work"
    stream: str = ""
    subject: str = ""
    """The subject, for example versions/3. The work continues the trace of the last fact about it."""


Due = Callable[[int], Iterable[Issue | DueWork | Undecidable]]
"""What is due at a moment of the log's time, in milliseconds since 1970."""


class Worker:
    """Sends the commands and does the work that `due` gives. Work runs in up to `threads` threads beside the loop.

    `log_time_ms` gives the log's time to `due`, because the facts have their times from the same clock.
    """

    def __init__(
        self,
        log: EventLog,
        fold: LifecycleFold,
        due: Due,
        name: str,
        metrics: Metrics,
        log_time_ms: Callable[[], int],
        threads: int = 1,
        tick_seconds: float = 0.25,
    ) -> None:
        self.name = name
        self._log = log
        self._fold = fold
        self._due = due
        self._tick_seconds = tick_seconds
        self._log_time_ms = log_time_ms
        self._sent_at: dict[str, float] = {}
        self._in_progress: set[str] = set()
        self._running = 0
        self._tries: Counter[str] = Counter()
        self._lock = threading.Condition()
        self._outcomes = metrics.counter("headgate_work_total")
        self._buried = metrics.counter("headgate_dead_letters_total")
        metrics.read_at_scrape([IN_PROGRESS], lambda: [Reading(IN_PROGRESS, (), self._running)])
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._undecidable = UndecidableReport(metrics)
        self._revision = -1
        self._thread = RetryingThread(f"{name}-loop", self._run, self._due_failed, tick_seconds, temporary=(Exception,))

    def start(self) -> None:
        """Starts the loop."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the loop is running."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> bool:
        """Starts no new work and waits until running work has ended and is reported. Returns False after the grace."""
        deadline = Deadline(grace_seconds)
        self._thread.stop(deadline.left())
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            return self._lock.wait_for(lambda: not self._running, deadline.left())

    def issue(self, command: commands.Command) -> None:
        """Appends the command to headgate.commands, keyed by its stream, without credentials. Raises LogError."""
        name = command.WhichOneof("command") or ""
        parent = current_trace_parent() or self._fold.trace_of(command.stream, subject_of(getattr(command, name)))
        ids = {"command_id": command.command_id, "correlation_id": command.correlation_id}
        with unit_of_work("issue", name, parent, stream=command.stream, **ids):
            command.trace_parent = current_trace_parent()
            value = with_masked_texts(command).SerializeToString()
            self._log.append(Message(topics.COMMANDS, command.stream.encode(), value))

    def report(self, command: commands.Command) -> None:
        """Issues the command that reports finished work. While the log does not answer, the report waits.

        Raises LogError after REPORT_SECONDS, or when the worker stops.
        """
        deadline = time.monotonic() + REPORT_SECONDS
        while True:
            try:
                self.issue(command)
                return
            except (LogUnavailable, OutcomeUnknown) as error:
                if time.monotonic() > deadline or self._thread.pause(REPORT_PAUSE_SECONDS):
                    raise
                what = {"command": command.command_id, "error": str(error)}
                logger.warning("the log does not answer; the report waits", extra=what)

    def _run(self) -> None:
        self._once()
        self._revision = self._fold.wait_change(self._revision, self._tick_seconds)

    def _due_failed(self, error: Exception) -> None:
        if isinstance(error, LogError):
            logger.warning("the log does not answer; trying again", extra={"error": str(error)})
        else:
            logger.error("finding due work failed; trying again", exc_info=error)

    def _once(self) -> None:
        with self._fold.lock:
            due = list(self._due(self._log_time_ms()))
        self._undecidable.report(work for work in due if isinstance(work, Undecidable))
        for work in due:
            if isinstance(work, Issue):
                self._issue_once(work.command)
            elif isinstance(work, DueWork):
                self._start_work(work)

    def _issue_once(self, command: commands.Command) -> None:
        now = time.monotonic()
        sent_at = self._sent_at.get(command.command_id)
        if sent_at is not None and now - sent_at < RESEND_SECONDS:
            return
        self.issue(command)
        if len(self._sent_at) >= MAX_REMEMBERED:
            self._sent_at.clear()
        self._sent_at[command.command_id] = now

    def _start_work(self, work: DueWork) -> None:
        with self._lock:
            if work.key in self._in_progress or self._tries[work.key] >= MAX_TRIES:
                return
            self._in_progress.add(work.key)
        self._pool.submit(self._run_work, work)

    def _run_work(self, work: DueWork) -> None:
        with self._lock:
            self._running += 1
        try:
            self._run_and_report(work)
            self._outcomes.labels("done").inc()
        except Exception as error:  # noqa: BLE001  # any error of the work is counted, recorded and never lost
            self._failed(work, error)
        finally:
            with self._lock:
                self._running -= 1
                self._in_progress.discard(work.key)
                self._lock.notify_all()

    def _run_and_report(self, work: DueWork) -> None:
        parent = self._fold.trace_of(work.stream, work.subject)
        with unit_of_work("work", work.what, parent, stream=work.stream, work=work.key):
            command = work.run()
            if command is not None:
                note(report=command.WhichOneof("command") or "", correlation_id=command.correlation_id)
                self.report(command)
        if command is not None:
            self._await_fact(command)

    def _await_fact(self, command: commands.Command) -> None:
        """Keeps the work in progress until its report is folded. Otherwise `due` would start it again."""
        revision, deadline = self._fold.revision, time.monotonic() + RESEND_SECONDS
        while not self._thread.is_stopping and time.monotonic() < deadline:
            with self._fold.lock:
                stream = self._fold.streams.get(command.stream)
                if stream is not None and stream.knows(command.command_id):
                    return
            revision = self._fold.wait_change(revision, self._tick_seconds)

    def _failed(self, work: DueWork, error: Exception) -> None:
        with self._lock:
            self._tries[work.key] += 1
            tries = self._tries[work.key]
        logger.error("work failed", exc_info=error, extra={"work": work.key, "tries": tries})
        self._outcomes.labels("failed" if tries < MAX_TRIES else "given-up").inc()
        if tries >= MAX_TRIES:
            self._buried.labels("", WORK_FAILED).inc()
            bury_command(self._log, work.key, f"{type(error).__name__}: {error}", self.name)
