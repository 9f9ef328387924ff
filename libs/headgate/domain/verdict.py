"""The verdict axis of a version: undecided, passed or failed by the gate, approved or denied by people, or waived."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from headgate.domain import approvals
from headgate.domain.comparison import refuse_uncompared
from headgate.domain.gate import decide_gate
from headgate.domain.label import standing
from headgate.domain.names import ANONYMOUS, version_name
from headgate.domain.refusal import Refused, illegal, invalid, not_found, purged
from headgate.domain.state import EnvironmentState, IllegalFact, ModelState
from headgate.domain.versions import is_purged
from headgate.domain.words import word_of
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

VerdictCommand = commands.DecideGate | commands.GrantApproval | commands.DenyApproval | commands.WaiveGate
VerdictFact = facts.GateDecided | facts.ApprovalGranted | facts.ApprovalDenied | facts.GateWaived

RELEASABLE = (resources.VERDICT_STATE_PASSED, resources.VERDICT_STATE_APPROVED, resources.VERDICT_STATE_WAIVED)
"""Verdicts with which a version may be released."""

MAX_APPROVER = 256
"""The longest name of an approver, in characters. The version stores the name."""
MAX_APPROVALS = 200
"""How many people may approve one version. The version stores them all."""


def decide(
    state: ModelState,
    command: VerdictCommand,
    actor: str,
    environments: Mapping[str, EnvironmentState],
    held: Sequence[facts.HeldRole],
) -> VerdictFact | Refused | None:
    """The fact that a verdict command leads to, a refusal, or None when the fact holds already.

    Each approval must come from another person. A second approval by the same one changes nothing, and one without a
    name is refused: nobody knows whose it is. `held` are the roles that the actor has proven to hold. A version that
    may be released takes approvals too, for the environments that ask for them.
    """
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    if is_purged(version):
        return purged(version.name, "a purged version gets no verdict, approval or waiver any more")
    match command:
        case commands.DecideGate():
            return _decide_gate(state, version)
        case commands.GrantApproval():
            refused = refuse_uncompared(state, version) or _not_approvable(version, environments)
            return refused or _approve(state, version, command, actor, environments, held)
        case commands.DenyApproval():
            if version.verdict == resources.VERDICT_STATE_DENIED:
                return None
            return _awaiting(version) or facts.ApprovalDenied(version=command.version, reason=command.reason)
        case commands.WaiveGate():
            return _waive(version, command)
        case _:
            assert_never(command)


def evolve(state: ModelState, fact: VerdictFact, record: facts.LifecycleRecord) -> resources.Version:
    """Folds a verdict fact into its version and returns it. Raises IllegalFact when the state forbids it."""
    version = state.versions.get(fact.version)
    if version is None or version.verdict not in _ALLOWED_FROM[type(fact)]:
        raise IllegalFact(f"{type(fact).__name__} for version {fact.version}")
    version.update_time_ms = record.occurred_at_ms
    match fact:
        case facts.GateDecided():
            version.gate.CopyFrom(fact)
            version.verdict = _after_gate(fact)
        case facts.ApprovalGranted():
            _add_approval(version, fact, record)
        case facts.ApprovalDenied():
            version.verdict = resources.VERDICT_STATE_DENIED
        case facts.GateWaived():
            version.verdict = resources.VERDICT_STATE_WAIVED
        case _:
            assert_never(fact)
    return version


_ALLOWED_FROM: dict[type, tuple[resources.VerdictState.ValueType, ...]] = {
    facts.GateDecided: (resources.VERDICT_STATE_UNDECIDED,),
    facts.ApprovalGranted: (resources.VERDICT_STATE_AWAITING_APPROVAL, *RELEASABLE),
    facts.ApprovalDenied: (resources.VERDICT_STATE_AWAITING_APPROVAL,),
    facts.GateWaived: (resources.VERDICT_STATE_FAILED,),
}


def _decide_gate(state: ModelState, version: resources.Version) -> facts.GateDecided | Refused | None:
    if version.verdict != resources.VERDICT_STATE_UNDECIDED:
        return None
    if version.build != resources.BUILD_STATE_EVALUATED:
        return illegal(standing(version), "the gate decides only evaluated versions")
    return refuse_uncompared(state, version) or decide_gate(version)


def _after_gate(fact: facts.GateDecided) -> resources.VerdictState.ValueType:
    if not fact.passed:
        return resources.VERDICT_STATE_FAILED
    return resources.VERDICT_STATE_AWAITING_APPROVAL if fact.policy.approvals else resources.VERDICT_STATE_PASSED


def _awaiting(version: resources.Version) -> Refused | None:
    if version.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL:
        return None
    # The label may be about the quarantine or the archive, which forbid no approval.
    state = word_of(resources.VerdictState, version.verdict)
    return illegal(standing(version, state), "only a version that awaits approval can be approved or denied")


def _not_approvable(version: resources.Version, environments: Mapping[str, EnvironmentState]) -> Refused | None:
    """The refusal of an approval that nothing asks for: neither the version's own gate nor an environment."""
    if version.verdict == resources.VERDICT_STATE_APPROVED:
        return None
    return None if version.verdict in RELEASABLE and approvals.asking(environments) else _awaiting(version)


def _approve(
    state: ModelState,
    version: resources.Version,
    command: commands.GrantApproval,
    actor: str,
    environments: Mapping[str, EnvironmentState],
    held: Sequence[facts.HeldRole],
) -> facts.ApprovalGranted | Refused | None:
    if version.verdict == resources.VERDICT_STATE_APPROVED and not approvals.asking(environments):
        return None
    name = approvals.person(actor)
    if name in ("", ANONYMOUS):
        return invalid("actor", actor, "an approval needs the name of a person: send it as x-actor")
    # Who only said so before may now prove it, where nothing is counted twice by that.
    proves = held and version.verdict in RELEASABLE
    known = [each.approver for each in version.proven_approvals] if proves else version.approved_by
    if name in map(approvals.person, known):
        return None
    if refused := approvals.refuse_author(state, version, actor, environments):
        return refused
    if len(actor) > MAX_APPROVER:
        return invalid("actor", actor, f"the name of an approver has at most {MAX_APPROVER} characters")
    if len(version.approved_by) >= MAX_APPROVALS:
        return illegal(standing(version), f"a version takes at most {MAX_APPROVALS} approvals")
    return facts.ApprovalGranted(version=command.version, reason=command.reason, held=held)


def _add_approval(version: resources.Version, fact: facts.ApprovalGranted, record: facts.LifecycleRecord) -> None:
    actor = record.actor or ANONYMOUS
    if actor not in version.approved_by:
        version.approved_by.append(actor)
    if fact.held:
        version.proven_approvals.add(approver=actor, held=fact.held, approve_time_ms=record.occurred_at_ms)
    if version.verdict != resources.VERDICT_STATE_AWAITING_APPROVAL:
        return  # it is for the environments alone
    # Every fact counts. Older logs may have several approvals by one actor, and the versions approved in that way may
    # be live, so they stay approved.
    version.approvals += 1
    if version.approvals >= version.gate.policy.approvals:
        version.verdict = resources.VERDICT_STATE_APPROVED


def _waive(version: resources.Version, command: commands.WaiveGate) -> facts.GateWaived | Refused | None:
    if version.verdict == resources.VERDICT_STATE_WAIVED:
        return None
    if not command.reason:
        return invalid("reason", "", "a waiver needs a reason")
    if version.verdict != resources.VERDICT_STATE_FAILED:
        return illegal(standing(version), "only a failed gate can be waived")
    return facts.GateWaived(version=command.version, reason=command.reason)
