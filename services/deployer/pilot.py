"""Decides the next command for every release, from the folded log and the gateways' reports. Pure.

The pilot keeps no state of its own. After a restart the same fold leads to the same commands with the same ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.comparison import awaited_verdict
from headgate.domain.names import in_words, model_stream, release_subject
from headgate.domain.refusal import MAX_TEXT_CHARACTERS
from headgate.domain.release import is_active, phase_name
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.words import duration_text
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.isolation import Undecidable, isolated
from headgate.worker.loop import Issue
from services.deployer import waits
from services.deployer.earliest_end import HELD_BY_A_FREEZE, earliest_end_ms
from services.deployer.evidence import GatewayReports
from services.deployer.observation import Observation, observe
from services.deployer.paused import wait_for_a_person
from services.deployer.queue import (
    Rules,
    next_in_line,
    release_before,
    releases_to_start,
    successor,
    takes_place_at,
)
from services.deployer.waits import Wait

NOTHING = Wait()


@dataclass(frozen=True, slots=True)
class NextCommand:
    """The command that is due for a release. Without a command, `wait` names what the release waits for."""

    command: commands.Command | None
    wait: Wait = NOTHING


def due(
    models: Mapping[str, ModelState],
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
    access: AccessState | None = None,
) -> Iterator[Issue | Undecidable]:
    """Every command that is due now, and every model or release for which an error prevents a decision."""
    rules = Rules(environments, access)
    for state in models.values():
        stream = model_stream(state.name)
        yield from isolated(stream, "", _start_commands, state, rules)
        for release in state.releases.values():
            if is_active(release):
                subject = release_subject(release.release)
                yield from isolated(stream, subject, _next_commands, state, release, environments, reports, now_ms)


def _start_commands(state: ModelState, rules: Rules) -> list[Issue]:
    return [Issue(command) for command in releases_to_start(state, rules)]


def _next_commands(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> list[Issue]:
    command = next_command(state, observe(state, release, environments, reports, now_ms)).command
    return [Issue(command)] if command is not None else []


def pilots(
    models: Mapping[str, ModelState],
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> list[worker_services.Pilot]:
    """Every active release, with its judgement, the live gateways and what the release waits for."""
    return [
        _pilot(state, release, environments, reports, now_ms)
        for state in models.values()
        for release in state.releases.values()
        if is_active(release)
    ]


def _pilot(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> worker_services.Pilot:
    try:
        observation = observe(state, release, environments, reports, now_ms)
        found = next_command(state, observation)
        wait = found.wait if found.command is None else NOTHING
        return worker_services.Pilot(
            release=release,
            judgement=observation.judgement,
            live_gateways=[gateway.name for gateway in observation.gateways],
            waiting_for=wait.waiting_for,
            waiting_until_ms=wait.until_ms,
            deadline_ms=wait.deadline_ms,
            at_deadline=wait.at_deadline,
            frozen_by=wait.frozen_by,
            frozen_until_ms=wait.frozen_until_ms,
            ahead=wait.ahead,
            earliest_end_ms=earliest_end_ms(observation),
        )
    except Exception as error:  # noqa: BLE001  # one release's error must not hide the other releases
        return worker_services.Pilot(
            release=release, waiting_for=f"a fix for this error: {type(error).__name__}: {error}"
        )


def next_command(state: ModelState, observation: Observation) -> NextCommand:
    """The next command for one active release. Its wait also names the freeze that would hold the step after it."""
    found = _decide(state, observation)
    freezes = observation.freezes if observation.release.phase in HELD_BY_A_FREEZE else ()
    return NextCommand(found.command, found.wait.in_freezes(freezes))


def _decide(state: ModelState, observation: Observation) -> NextCommand:
    release = observation.release
    if _has_failed(observation):
        return _roll_back(observation, facts.ROLLBACK_CAUSE_VERDICT, observation.judgement.explanation)
    if _is_quarantined(state, release):
        return _roll_back(observation, facts.ROLLBACK_CAUSE_ABORTED, "the candidate was quarantined")
    if release.phase == resources.PHASE_REQUESTED:
        return NextCommand(next_in_line(state, release, observation), _wait_in_line(state, observation))
    if release.phase == resources.PHASE_ROLLING_BACK:
        return _finish_rollback(observation)
    if (other := successor(state, observation)) is not None:
        return _make_way(observation, other)
    return _while_paused(observation) if release.paused else _advance(observation)


def _wait_in_line(state: ModelState, observation: Observation) -> Wait:
    if (other := release_before(state, observation.release)) is not None:
        wait, from_ms = waits.end_of_release(other), takes_place_at(state, other, observation)
        return wait.at_the_latest(from_ms, "it takes its place") if from_ms else wait
    if observation.release.paused:
        return wait_for_a_person(observation)
    if observation.freezes:
        return waits.end_of_freezes(observation.freezes)
    candidate = state.versions.get(observation.release.candidate, resources.Version())
    return Wait(awaited_verdict(state, candidate, f"v{candidate.version}'s"))


def _make_way(observation: Observation, other: resources.Release) -> NextCommand:
    if other.undo_of:
        back = f"{in_words(other.name)} goes back to v{other.candidate}"
        return _roll_back(observation, facts.ROLLBACK_CAUSE_ABORTED, back)
    return _roll_back(observation, facts.ROLLBACK_CAUSE_SUPERSEDED, f"{in_words(other.name)} takes its place")


def _while_paused(observation: Observation) -> NextCommand:
    """Reports that the gateways serve the weights of the pause, and then waits."""
    release = observation.release
    is_unapplied = release.phase == resources.PHASE_STEPPING and not release.applied_at_ms
    if is_unapplied and observation.gateways and not observation.lagging:
        return NextCommand(_applied(observation))
    return NextCommand(None, wait_for_a_person(observation))


def _advance(observation: Observation) -> NextCommand:
    release = observation.release
    match release.phase:
        case resources.PHASE_PREPARING:
            return _enter_traffic(observation) if release.candidate_ready else _prepare(observation)
        case resources.PHASE_STEPPING:
            return _step(observation) if release.applied_at_ms else _report_applied(observation)
        case resources.PHASE_PROMOTING:
            return _report_applied(observation)
        case resources.PHASE_BAKING:
            return _bake(observation)
        case _:
            raise ValueError(f"{release.name} is {phase_name(release)}: there is no next command")


def _is_quarantined(state: ModelState, release: resources.Release) -> bool:
    """Whether the release must end because its candidate was put into quarantine. An override lets it go on."""
    candidate = state.versions.get(release.candidate, resources.Version())
    goes_forward = release.phase != resources.PHASE_ROLLING_BACK and is_active(release)
    return goes_forward and candidate.quarantined and not release.override_quarantine


def _has_failed(observation: Observation) -> bool:
    """Whether the evidence demands a rollback.

    It never does for a first version, because there is no stable version to go back to. It never does for an undo
    either, because a person chose that version.
    """
    in_traffic = (resources.PHASE_STEPPING, resources.PHASE_PROMOTING, resources.PHASE_BAKING)
    release = observation.release
    can_go_back = bool(release.stable) and not release.undo_of
    return can_go_back and release.phase in in_traffic and observation.judgement.verdict == facts.VERDICT_FAIL


def _prepare(observation: Observation) -> NextCommand:
    release = observation.release
    deadline_ms = release.phase_since_ms + observation.policy.prepare_deadline_ms
    late = observation.now_ms >= deadline_ms
    if not observation.gateways:
        wait = waits.A_GATEWAY.at_the_latest(deadline_ms, "it pauses")
        missing = f"no gateway was live within {duration_text(observation.policy.prepare_deadline_ms)}"
        return _pause(observation, missing) if late else NextCommand(None, wait)
    if not observation.unready:
        names = [gateway.name for gateway in observation.gateways]
        payload = commands.ReportCandidateReady(release=release.release, gateways=names)
        return NextCommand(observation.command("candidate-ready", payload))
    if late:
        return _roll_back(observation, facts.ROLLBACK_CAUSE_NOT_READY, _not_loaded(observation))
    wait = waits.candidate_on(observation.unready, release.candidate, _load_failures(observation))
    return NextCommand(None, wait.at_the_latest(deadline_ms, "it rolls back"))


def _not_loaded(observation: Observation) -> str:
    """Why the release rolls back, with what each gateway says."""
    unready = f"not loaded in time by {', '.join(observation.unready)}"
    return "; ".join([unready, *_load_failures(observation)])[:MAX_TEXT_CHARACTERS]


def _load_failures(observation: Observation) -> list[str]:
    """What each gateway says of the candidate that it cannot load."""
    return [
        f"{gateway.name}: {failure.reason}"
        for gateway in observation.gateways
        for failure in gateway.route(observation.model).failures
        if failure.version == observation.release.candidate
    ]


def _enter_traffic(observation: Observation) -> NextCommand:
    strategy = observation.release.strategy
    if strategy == configuration.STRATEGY_CANARY and observation.release.stable:
        return _set_weights(observation, 0)
    reasons = {configuration.STRATEGY_BLUE_GREEN: "blue-green", configuration.STRATEGY_DIRECT: "direct"}
    return _promote(observation, reasons.get(strategy, "nothing is live beside it"))


def _step(observation: Observation) -> NextCommand:
    release, stratum = observation.release, observation.stratum
    step = observation.policy.steps[release.step]
    if observation.served_ms < step.min_duration_ms:
        return _hold(observation, waits.end_of_step(release, step.min_duration_ms))
    if (unheard := _unheard(observation)) is not None:
        return _hold(observation, unheard)
    if stratum.candidate_keys < observation.needed_keys:
        return _hold(observation, waits.more_keys(stratum.candidate_keys, observation.needed_keys))
    if not observation.is_last_step:
        return _set_weights(observation, release.step + 1)
    if observation.judgement.verdict == facts.VERDICT_PASS:
        return _promote(observation, "")
    return _hold(observation, waits.A_VERDICT)


def _unheard(observation: Observation) -> Wait | None:
    """The wait for gateways of whose answers nothing is known; None when all are heard."""
    if observation.silent:
        return waits.reports_of(observation.silent)
    return None if observation.gateways else waits.A_GATEWAY


def _hold(observation: Observation, wait: Wait) -> NextCommand:
    """Stays at the present step. Pauses the release when no data comes, or after the policy's deadline."""
    limit_ms = observation.policy.no_data_limit_ms
    if not observation.has_data and observation.served_ms >= limit_ms:
        return _pause(observation, _no_data("this", limit_ms))
    # The deadline never comes before the step could end, or a long step would end in a pause each time.
    hold_ms = max(
        observation.policy.hold_deadline_ms, observation.policy.steps[observation.release.step].min_duration_ms
    )
    if observation.served_ms >= hold_ms:
        found = observation.judgement.explanation if wait == waits.A_VERDICT else ""
        late = observation.late_answers
        waited = f"inconclusive: after {duration_text(hold_ms)} it still waited for {wait.waiting_for}."
        why = " ".join(filter(None, (waited, found, late)))
        return _pause(observation, why, bool(late))
    limit_ms = hold_ms if observation.has_data else min(hold_ms, limit_ms)
    return NextCommand(None, wait.at_the_latest(observation.release.applied_at_ms + limit_ms, "it pauses"))


def _no_data(weight: str, limit_ms: int) -> str:
    return f"no data: the candidate got no request at {weight} weight within {duration_text(limit_ms)}"


def _report_applied(observation: Observation) -> NextCommand:
    if not observation.gateways:
        return NextCommand(None, waits.A_GATEWAY)
    if observation.lagging:
        return NextCommand(None, waits.weights_on(observation.lagging))
    return NextCommand(_applied(observation))


def _applied(observation: Observation) -> commands.Command:
    epoch = observation.release.epoch
    payload = commands.ReportWeightsApplied(
        release=observation.release.release, epoch=epoch, gateways=[gateway.name for gateway in observation.gateways]
    )
    return observation.command(f"weights-applied/{epoch}", payload)


def _bake(observation: Observation) -> NextCommand:
    # A first version has no stable version to go back to, so it needs no bake.
    left_ms = observation.policy.bake_ms - observation.served_ms if observation.release.stable else 0
    if left_ms > 0:
        return NextCommand(None, waits.end_of_bake(observation.now_ms + left_ms))
    if (unheard := _unheard(observation)) is not None:
        return NextCommand(None, unheard)
    if _bakes_on_evidence(observation) and not observation.has_data:
        return _bake_without_data(observation)
    payload = commands.CompleteRelease(release=observation.release.release, judgement=observation.judgement)
    return NextCommand(observation.command("complete", payload))


def _bakes_on_evidence(observation: Observation) -> bool:
    """Whether the bake proves nothing without a request to the candidate.

    A first version has nothing to go back to. A person chose the version of an undo, and that of a canary that went on
    without the judge's PASS.
    """
    release = observation.release
    by_a_person = release.strategy == configuration.STRATEGY_CANARY and release.judgement.verdict != facts.VERDICT_PASS
    return bool(release.stable and observation.policy.bake_ms) and not release.undo_of and not by_a_person


def _bake_without_data(observation: Observation) -> NextCommand:
    limit_ms = max(observation.policy.bake_ms, observation.policy.no_data_limit_ms)
    if observation.served_ms >= limit_ms:
        return _pause(observation, _no_data("full", limit_ms))
    return NextCommand(None, waits.A_REQUEST.at_the_latest(observation.release.applied_at_ms + limit_ms, "it pauses"))


def _finish_rollback(observation: Observation) -> NextCommand:
    if observation.release.applied_at_ms:
        payload = commands.FinishRollback(release=observation.release.release)
        return NextCommand(observation.command("finish-rollback", payload))
    # Without a live gateway nothing serves the candidate. A gateway that starts later reads the log and serves stable.
    if observation.lagging:
        return NextCommand(None, waits.stable_on(observation.lagging))
    return NextCommand(_applied(observation))


def _set_weights(observation: Observation, step: int) -> NextCommand:
    payload = commands.SetWeights(release=observation.release.release, step=step, judgement=observation.judgement)
    return _forward(observation, observation.command(f"set-weights/{step}", payload))


def _promote(observation: Observation, reason: str) -> NextCommand:
    payload = commands.PromoteRelease(
        release=observation.release.release, judgement=observation.judgement, reason=reason
    )
    return _forward(observation, observation.command("promote", payload))


def _forward(observation: Observation, command: commands.Command) -> NextCommand:
    held = observation.freezes
    return NextCommand(None, waits.end_of_freezes(held)) if held else NextCommand(command)


def _pause(observation: Observation, reason: str, late_answers: bool = False) -> NextCommand:
    payload = commands.PauseRelease(
        release=observation.release.release, reason=reason, at_fault=True, late_answers=late_answers
    )
    # A resumed release gets a new `phase_since_ms`. So a later pause has another command id and is not a repetition.
    return NextCommand(observation.command(f"pause/{observation.release.phase_since_ms}", payload))


def _roll_back(observation: Observation, cause: facts.RollbackCause.ValueType, reason: str) -> NextCommand:
    payload = commands.RollBackRelease(
        release=observation.release.release, cause=cause, reason=reason, judgement=observation.judgement
    )
    return NextCommand(observation.command("roll-back", payload))
