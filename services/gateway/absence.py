"""Says why a version cannot answer here, and what to do. Pure."""

from collections.abc import Mapping

from headgate.domain.label import label
from headgate.domain.model import ModelState
from headgate.domain.verdict import RELEASABLE
from headgate.domain.versions import is_purged
from headgate.v1 import resources_pb2 as resources

LOADING = "is still loading"
ASLEEP = "is not loaded, because the memory for versions is full; the next request loads it"
"""Not a reason against a version: it can answer."""


def unexplained(model: str, number: int) -> str:
    """Why a version is not here, for whoever knows no fold."""
    return "is not loaded here"


def why_not_deployable(model: str, version: resources.Version, override_quarantine: bool = False) -> str:
    """Why the version must not answer, also where it is loaded. Empty when it may."""
    if is_purged(version):
        return "is purged: its files are deleted, so choose another version"
    if version.quarantined and not override_quarantine:
        return (
            "is quarantined; choose another version, or lift the quarantine with:"
            f" headgate version lift-quarantine {model}/{version.version}"
        )
    return ""


def why_not_here(model: str, number: int, state: ModelState | None, environment: str) -> str:
    """Why a version that no route names is not loaded."""
    version = state.versions.get(number) if state is not None else None
    if version is None:
        return f"does not exist; see: headgate version list {model}"
    if reason := why_not_deployable(model, version):
        return reason
    if version.verdict not in RELEASABLE or version.retention != resources.RETENTION_STATE_KEPT:
        return f"is {label(version)}, so it is not deployable; see: headgate version get {model}/{number}"
    return (
        f"is not released to {environment}: a gateway serves the live version and the candidate of a release;"
        f" release it with: headgate release start {model}/{number} --environment {environment}"
    )


def why_not_loaded(failures: Mapping[int, str], number: int) -> str:
    """Why a version that a route names is not loaded."""
    return f"failed to load: {failures[number]}" if number in failures else LOADING
