"""Runs one evaluation that this worker holds, with a heartbeat, and answers the command that reports it."""

import traceback
from collections.abc import Callable

from headgate.domain.build import MAX_LOG_TAIL
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.leases import heartbeat
from services.evaluator.due import WORK, Assignment, command
from services.evaluator.inference import always
from services.evaluator.score import CANNOT_BE_SCORED, MAX_REASON, Artifacts, compare, score


def evaluate(
    artifacts: Artifacts,
    telemetry: TelemetryWriter,
    assignment: Assignment,
    is_held: Callable[[], bool] = always,
) -> commands.Command:
    """The report of the evaluation: finished, or failed when the artifact cannot be scored. Other errors are raised.

    Raises NotHeld as soon as `is_held` answers no.
    """
    version = assignment.version
    with heartbeat(telemetry, assignment.claim, WORK):
        try:
            finished = _measure(artifacts, assignment, is_held)
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


def _measure(artifacts: Artifacts, assignment: Assignment, is_held: Callable[[], bool]) -> facts.EvaluationFinished:
    version, baseline = assignment.version, assignment.baseline
    scored = score(artifacts, version, is_held)
    finished = facts.EvaluationFinished(version=version.version, attempt=version.attempt, report=scored.report)
    if baseline is not None:
        finished.baseline_version = baseline.version
        compared = compare(artifacts, scored, baseline, is_held)
        finished.baseline_failure, finished.signature_change = compared.failure, compared.signature_change
        if compared.report is not None:
            finished.baseline_report.CopyFrom(compared.report)
    return finished
