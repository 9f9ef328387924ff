"""Carries out one evaluation that this worker holds, and says that it is alive meanwhile."""

import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from headgate.domain.build import MAX_LOG_TAIL
from headgate.domain.names import model_stream
from headgate.log.port import LogError
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from services.evaluator.due import Assignment, command
from services.evaluator.score import CANNOT_BE_SCORED, Artifacts, score, score_baseline

WORK = "evaluation"
HEARTBEAT_SECONDS = 2.0
MAX_REASON = 1_000

logger = logging.getLogger(__name__)


class Telemetry(Protocol):
    """Where signs of life go."""

    def send(self, key: str, *, work_heartbeat: telemetry.WorkHeartbeat) -> None: ...


def evaluate(artifacts: Artifacts, alive: Telemetry, assignment: Assignment) -> commands.Command:
    """The report of the evaluation: finished, or failed when the artifact cannot be scored. Other errors are raised."""
    version = assignment.version
    with beating(alive, assignment):
        try:
            finished = _measure(artifacts, assignment)
        except CANNOT_BE_SCORED as error:
            failed = facts.EvaluationFailed(
                version=version.version,
                attempt=version.attempt,
                reason=str(error)[:MAX_REASON],
                log_tail=traceback.format_exc()[-MAX_LOG_TAIL:],
            )
            report = commands.ReportEvaluationFailed(fact=failed)
            return command(assignment.model, version, f"{assignment.key}/failed", report_evaluation_failed=report)
    done = commands.ReportEvaluationFinished(fact=finished)
    return command(assignment.model, version, f"{assignment.key}/finished", report_evaluation_finished=done)


def _measure(artifacts: Artifacts, assignment: Assignment) -> facts.EvaluationFinished:
    version, baseline = assignment.version, assignment.baseline
    report, rows = score(artifacts, version)
    finished = facts.EvaluationFinished(version=version.version, attempt=version.attempt, report=report)
    if baseline is not None:
        finished.baseline_version = baseline.version
        compared = score_baseline(artifacts, baseline, version.configuration.task, rows)
        if compared is not None:
            finished.baseline_report.CopyFrom(compared)
    return finished


@contextmanager
def beating(alive: Telemetry, assignment: Assignment) -> Iterator[None]:
    """Sends a heartbeat at once and then every HEARTBEAT_SECONDS until the work is done."""
    stream = model_stream(assignment.model)
    beat = telemetry.WorkHeartbeat(
        stream=stream, version=assignment.version.version, attempt=assignment.version.attempt, work=WORK
    )
    done = threading.Event()

    def beats() -> None:
        while not done.is_set():
            try:
                alive.send(stream, work_heartbeat=beat)
            except LogError as error:
                logger.warning("heartbeat not sent", extra={"work": assignment.key, "error": str(error)})
            done.wait(HEARTBEAT_SECONDS)

    thread = threading.Thread(target=beats, name=f"heartbeat {assignment.key}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
