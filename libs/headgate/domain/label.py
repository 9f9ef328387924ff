"""The one word people see for a version, derived from its axes."""

from headgate.domain.words import word_of
from headgate.v1 import resources_pb2 as resources


def label(version: resources.Version) -> str:
    """The furthest of the axes, for example "training", "passed" or "quarantined"."""
    retention, verdict = version.retention, version.verdict
    if retention != resources.RETENTION_STATE_KEPT:
        return word_of(resources.RetentionState, retention)
    if version.quarantined:
        return "quarantined"
    if verdict != resources.VERDICT_STATE_UNDECIDED:
        return word_of(resources.VerdictState, verdict)
    return word_of(resources.BuildState, version.build)
