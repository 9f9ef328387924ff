"""Runs one evaluation that this worker holds, with a heartbeat, and answers the command that reports it."""

from collections.abc import Callable

from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.leases import heartbeat
from services.evaluator.due import WORK, Assignment, command
from services.evaluator.measuring import CannotBeScored, Measure, always


def evaluate(
    measure: Measure,
    telemetry: TelemetryWriter,
    assignment: Assignment,
    is_held: Callable[[], bool] = always,
) -> commands.Command:
    """The report of the evaluation: finished, or failed when the artifact cannot be scored. Other errors are raised.

    Raises NotHeld soon after `is_held` answers no.
    """
    version = assignment.version
    with heartbeat(telemetry, assignment.claim, WORK):
        try:
            finished = measure(version, assignment.baseline, is_held)
        except CannotBeScored as error:
            failed = facts.EvaluationFailed(
                version=version.version, attempt=version.attempt, reason=str(error), log_tail=error.log_tail
            )
            report = commands.ReportEvaluationFailed(fact=failed)
            return command(assignment.model, version, f"{assignment.key}/failed", report_evaluation_failed=report)
    done = commands.ReportEvaluationFinished(fact=finished)
    return command(assignment.model, version, f"{assignment.key}/finished", report_evaluation_finished=done)
