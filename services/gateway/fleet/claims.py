"""Decides whether what a device says it has counted may be evidence. Pure.

Many programs can reach the port, and evidence steers releases. So totals must fit the release: its environment, its
versions, its weights, and the arm that the device has under them.
"""

from collections.abc import Iterator

from headgate.domain.release import RUNNING
from headgate.domain.state import ModelState
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.telemetry import counters
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import arm

Answer = edge.TotalsAnswer
TAKEN, NOT_NEEDED = Answer.OUTCOME_TAKEN, Answer.OUTCOME_NOT_NEEDED
TRY_LATER, REFUSED = Answer.OUTCOME_TRY_LATER, Answer.OUTCOME_REFUSED
OUTCOME_NAMES = {TAKEN: "taken", NOT_NEEDED: "not-needed", TRY_LATER: "try-later", REFUSED: "refused"}


def answer_to(totals: edge.DeviceTotals, device: str, state: ModelState | None, environment: str) -> edge.TotalsAnswer:
    """What becomes of the totals. `state` is the model as this gateway knows it; None when it knows no such model."""
    if flaw := next(_flaws(totals), ""):
        return Answer(outcome=REFUSED, reason=flaw)
    release = state.releases.get(totals.release) if state is not None else None
    if release is None:
        return _without_release(totals, state)
    if release.environment != environment:
        return Answer(outcome=REFUSED, reason=f"release {release.release} is for {release.environment}")
    if release.ended_at_ms:
        return Answer(outcome=NOT_NEEDED, reason=f"release {release.release} has ended")
    if release.phase not in RUNNING or totals.epoch > release.epoch:
        return Answer(outcome=TRY_LATER, reason=f"epoch {totals.epoch} is not known here yet")
    reason = next(_contradictions(totals, device, release), "")
    return Answer(outcome=REFUSED if reason else TAKEN, reason=reason)


def _flaws(totals: edge.DeviceTotals) -> Iterator[str]:
    if totals.arm not in counters.ARM_NAMES:
        yield f"arm is {totals.arm}: expected stable or candidate"
    if totals.release < 1 or totals.epoch < 0:
        yield f"release is {totals.release} and epoch is {totals.epoch}: a release is at least 1, and an epoch 0"
    if not 0 <= totals.candidate_weight_bps <= FULL_WEIGHT_BPS:
        yield f"candidate_weight_bps is {totals.candidate_weight_bps}: it must be 0 to {FULL_WEIGHT_BPS}"
    yield from counters.faults_of(counters.arm_counts(totals))


def _without_release(totals: edge.DeviceTotals, state: ModelState | None) -> edge.TotalsAnswer:
    if state is None or totals.release > max(state.releases, default=0):
        return Answer(outcome=TRY_LATER, reason=f"release {totals.release} of {totals.model} is not known here yet")
    return Answer(outcome=REFUSED, reason=f"{totals.model} has no release {totals.release}")


def _contradictions(totals: edge.DeviceTotals, device: str, release: resources.Release) -> Iterator[str]:
    weight = sum(each.weight_bps for each in release.weights if each.version == release.candidate)
    if totals.epoch == release.epoch and totals.candidate_weight_bps != weight:
        yield f"candidate_weight_bps is {totals.candidate_weight_bps}: in epoch {totals.epoch} it is {weight}"
    version = release.candidate if totals.arm == telemetry.ARM_CANDIDATE else release.stable
    if totals.version != version:
        yield f"version is {totals.version}: the {counters.ARM_NAMES[totals.arm]} version is {version}"
    assigned = arm(release.salt, device, totals.candidate_weight_bps)
    if totals.arm != assigned:
        yield f"arm is {counters.ARM_NAMES[totals.arm]}: this device is assigned to {counters.ARM_NAMES[assigned]}"
