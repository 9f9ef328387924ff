"""Whether the gate of a version has compared it with the version that is live now.

A version that waits, for its release or for approvals, may see another one go live. What its gate found out about a
max_drop is then about a version that serves no more. So it is evaluated again before it goes on.
"""

from headgate.domain.names import in_words
from headgate.domain.refusal import Refused, illegal
from headgate.domain.state import ModelState
from headgate.v1 import resources_pb2 as resources

DEFAULT_ENVIRONMENT = "production"
"""Whose live version a version is compared with when its configuration names no environment."""

RULE = "a version is compared with the live version first"

_ON_NUMBERS = (
    resources.VERDICT_STATE_UNDECIDED,
    resources.VERDICT_STATE_PASSED,
    resources.VERDICT_STATE_AWAITING_APPROVAL,
    resources.VERDICT_STATE_APPROVED,
)
"""Verdicts that stand on the comparison. A failed version needs no other one, and a person waived it knowingly."""


def environment_of(version: resources.Version) -> str:
    """The environment whose live version this one is compared with."""
    return version.configuration.release.environment or DEFAULT_ENVIRONMENT


def not_compared_with(state: ModelState, version: resources.Version) -> int:
    """The live version with which this evaluated one must be compared first; 0 when there is none.

    Only a version that is newer than the live one and was never released is compared again, if its gate has a max_drop.
    """
    if version.build != resources.BUILD_STATE_EVALUATED or version.verdict not in _ON_NUMBERS:
        return 0
    live = state.model.live.get(environment_of(version), 0)
    if not 0 < live < version.version or live == version.baseline_version:
        return 0
    if version.retention != resources.RETENTION_STATE_KEPT or not _has_max_drop(version):
        return 0
    was_released = any(
        release.candidate == version.version and release.started_at_ms for release in state.releases.values()
    )
    return 0 if was_released else live


def awaited_verdict(state: ModelState, version: resources.Version, whose: str = "its") -> str:
    """What a version with a requested release waits for, so that its verdict is about the version that is live now.

    Empty when it waits for nothing. `whose` is how the sentence names the version, such as "v7's".
    """
    if live := not_compared_with(state, version):
        return f"{whose} comparison with v{live}, which went live meanwhile"
    if version.verdict == resources.VERDICT_STATE_UNDECIDED:
        return f"the verdict of {whose} gate"
    return f"{whose} approvals" if version.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL else ""


def refuse_uncompared(state: ModelState, version: resources.Version) -> Refused | None:
    """The refusal of a verdict on a version that must be compared with the live one first; None for no refusal."""
    if not (live := not_compared_with(state, version)):
        return None
    return illegal(f"{in_words(version.name)} was not compared with v{live}, which went live meanwhile", RULE)


def refuse_unjudged(state: ModelState, version: resources.Version) -> Refused | None:
    """The refusal of a release whose candidate waits for a verdict; None for no refusal."""
    if not (awaited := awaited_verdict(state, version)):
        return None
    return illegal(f"{in_words(version.name)} waits for {awaited}", RULE)


def _has_max_drop(version: resources.Version) -> bool:
    return any(rule.HasField("max_drop") for rule in version.configuration.gate.rules)
