"""The one word people see for a version, derived from its axes."""

from headgate.v1 import resources_pb2 as r


def label(version: r.Version) -> str:
    """The furthest of the axes, for example "training", "passed" or "quarantined"."""
    if version.retention != r.RETENTION_STATE_KEPT:
        return _word(r.RetentionState.Name(version.retention), "RETENTION_STATE_")
    if version.quarantined:
        return "quarantined"
    if version.verdict != r.VERDICT_STATE_UNDECIDED:
        return _word(r.VerdictState.Name(version.verdict), "VERDICT_STATE_")
    return _word(r.BuildState.Name(version.build), "BUILD_STATE_")


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ").lower()
