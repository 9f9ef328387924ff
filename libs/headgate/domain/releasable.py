"""Whether a version may be released at all, whatever is live."""

from headgate.domain.label import standing
from headgate.domain.names import in_words
from headgate.domain.refusal import GATE_NOT_MET, Refused, illegal, purged
from headgate.domain.verdict import RELEASABLE
from headgate.domain.versions import is_purged
from headgate.v1 import resources_pb2 as resources

_QUARANTINE_RULE = (
    "a quarantined version can be released only with an override: override_quarantine, or --override-quarantine of"
    " `headgate release start`; or lift the quarantine: `headgate version lift-quarantine`"
)


def candidate_refused(version: resources.Version, override_quarantine: bool) -> Refused | None:
    """The refusal of a release of a version that may not be released; None when it may."""
    if is_purged(version):
        return purged(version.name, "a purged version cannot be released", "candidate")
    if version.verdict not in RELEASABLE:
        rule = "only a version that has passed its gate, or was approved or waived, can be released"
        return Refused(GATE_NOT_MET, rule, standing(version), "candidate")
    if version.retention != resources.RETENTION_STATE_KEPT:
        return illegal(standing(version), "an archived version cannot be released")
    if version.quarantined and not override_quarantine:
        return illegal(f"{in_words(version.name)} is quarantined", _QUARANTINE_RULE)
    return None
