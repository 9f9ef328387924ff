"""The loop that does the work that is due: what it counts, and how it ends work in progress when it stops."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metric import EVALUATOR
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.worker.loop import MAX_TRIES, DueWork, Worker
from tests.metrics.exposed import Exposition, parsed, text_of, until

GRACE_SECONDS = 10.0


class RunningWork:
    """One piece of work. The loop starts it, and the test decides when it ends."""

    def __init__(self, log: EventLog, run: Callable[["RunningWork"], commands.Command | None]) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.due = True
        self._log = log
        self._metrics = Metrics(EVALUATOR)
        self.fold = LifecycleFold(log)
        self.fold.start()
        piece = DueWork("piece", lambda: run(self))
        self.worker = Worker(
            log,
            self.fold,
            lambda _: [piece] if self.due else [],
            "evaluator-0",
            self._metrics,
            log_time_ms=now_ms,
            tick_seconds=0.01,
        )
        self.worker.start()

    def metrics(self) -> Exposition:
        return parsed(text_of(self._metrics))

    def reports(self) -> list[str]:
        return [
            commands.Command.FromString(record.value or b"").command_id
            for partition in self._log.end(topics.COMMANDS)
            for record in self._log.read(topics.COMMANDS, partition, 0)
        ]


def waiting(work: RunningWork) -> commands.Command:
    work.began.set()
    work.may_end.wait(GRACE_SECONDS)
    work.due = False
    report = commands.ReportEvaluationFailed()
    return commands.Command(command_id="report", stream="models/fraud", report_evaluation_failed=report)


def failing(work: RunningWork) -> commands.Command:
    raise KeyError("broken")


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Callable[[RunningWork], commands.Command | None]], RunningWork]]:
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.create_topics(topics.TOPICS)
    begun: list[RunningWork] = []

    def start(run: Callable[[RunningWork], commands.Command | None]) -> RunningWork:
        begun.append(RunningWork(log, run))
        return begun[-1]

    yield start
    for work in begun:
        work.may_end.set()
        work.worker.stop(GRACE_SECONDS)
        work.fold.close()
    log.close()


Begin = Callable[[Callable[[RunningWork], commands.Command | None]], RunningWork]


def test_work_in_progress_is_finished_and_reported_before_the_loop_ends(begin: Begin) -> None:
    work = begin(waiting)
    assert work.began.wait(GRACE_SECONDS)
    assert work.metrics().value("headgate_work_in_hand") == 1
    ended: list[bool] = []
    stopping = threading.Thread(target=lambda: ended.append(work.worker.stop(GRACE_SECONDS)))
    stopping.start()
    work.may_end.set()
    stopping.join(GRACE_SECONDS)
    assert ended == [True]
    assert work.reports() == ["report"]
    assert work.metrics().value("headgate_work_total", outcome="done") == 1
    assert work.metrics().value("headgate_work_in_hand") == 0


def test_the_loop_does_not_wait_longer_than_the_grace(begin: Begin) -> None:
    work = begin(waiting)
    assert work.began.wait(GRACE_SECONDS)
    assert work.worker.stop(0.05) is False
    assert work.reports() == []


def test_work_that_fails_is_tried_again_then_given_up_and_both_are_counted(begin: Begin) -> None:
    work = begin(failing)
    until(lambda: work.metrics().value("headgate_work_total", outcome="given-up") == 1, "giving up")
    metrics = work.metrics()
    assert metrics.value("headgate_work_total", outcome="failed") == MAX_TRIES - 1
    assert metrics.value("headgate_dead_letters_total", topic="", code="work-failed") == 1
