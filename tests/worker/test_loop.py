"""The loop that all workers share, during an outage of the log."""

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker import loop
from headgate.worker.loop import DueWork, Worker
from tests.registry.conftest import read_all
from tests.waiting import PATIENCE_SECONDS, until
from tests.worker.outages import FailingLog

OUTAGES = 2 * loop.MAX_TRIES


def test_an_outage_of_the_log_at_the_end_of_the_work_does_not_repeat_the_work(
    log: FailingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "REPORT_PAUSE_SECONDS", 0.01)
    done: list[str] = []

    def work() -> commands.Command:
        done.append("once")
        log.outages = OUTAGES
        return commands.Command(command_id="report", stream="models/fraud", tag_version=commands.TagVersion(version=1))

    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    worker = Worker(
        log, fold, lambda now_ms: [DueWork("work", work)], "trainer-0", Metrics("trainer"), log_time_ms=now_ms
    )
    worker.start()
    until(lambda: len(read_all(log, topics.COMMANDS)) == 1, "the report")
    assert done == ["once"]
    assert read_all(log, topics.DEAD_LETTERS) == []
    worker.stop(PATIENCE_SECONDS)
    fold.close()


def test_a_worker_sends_no_command_with_credentials(log: FailingLog) -> None:
    worker = Worker(log, LifecycleFold(log), lambda now_ms: [], "trainer-0", Metrics("trainer"), log_time_ms=now_ms)
    failed = facts.TrainingFailed(version=1, reason="fatal: https://reader:s3cret@git.example.com/fraud is not there")
    worker.issue(
        commands.Command(
            command_id="report",
            stream="models/fraud",
            report_training_failed=commands.ReportTrainingFailed(fact=failed),
        )
    )
    (record,) = read_all(log, topics.COMMANDS)
    reason = commands.Command.FromString(record.value or b"").report_training_failed.fact.reason
    assert reason == "fatal: https://***@git.example.com/fraud is not there"
