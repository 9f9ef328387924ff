"""The one word people see for a version, derived from its axes."""

from collections.abc import Mapping, Sequence

from headgate.v1 import resources_pb2 as resources


def label(version: resources.Version) -> str:
    """The furthest of the axes, for example "training", "passed" or "quarantined"."""
    retention, verdict = version.retention, version.verdict
    if retention != resources.RETENTION_STATE_KEPT:
        return _RETENTION[retention]
    if version.quarantined:
        return "quarantined"
    if verdict != resources.VERDICT_STATE_UNDECIDED:
        return _VERDICT[verdict]
    return _BUILD[version.build]


def _words(names: Sequence[str], numbers: Sequence[int], prefix: str) -> Mapping[int, str]:
    return {
        number: name.removeprefix(prefix).replace("_", " ").lower() for number, name in zip(numbers, names, strict=True)
    }


_RETENTION = _words(resources.RetentionState.keys(), resources.RetentionState.values(), "RETENTION_STATE_")
_VERDICT = _words(resources.VerdictState.keys(), resources.VerdictState.values(), "VERDICT_STATE_")
_BUILD = _words(resources.BuildState.keys(), resources.BuildState.values(), "BUILD_STATE_")
