"""The word that people see for a version, derived from its axes."""

from headgate.domain.words import word_of
from headgate.v1 import resources_pb2 as resources


def label(version: resources.Version) -> str:
    """The state of the first axis that is not at its start, for example "archived", "quarantined" or "passed".

    The order is retention, quarantine, verdict, build.
    """
    retention, verdict = version.retention, version.verdict
    if retention != resources.RETENTION_STATE_KEPT:
        return word_of(resources.RetentionState, retention)
    if version.quarantined:
        return "quarantined"
    if verdict != resources.VERDICT_STATE_UNDECIDED:
        return word_of(resources.VerdictState, verdict)
    return word_of(resources.BuildState, version.build)
