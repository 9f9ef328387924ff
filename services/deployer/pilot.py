"""What should happen next to every release, from the folded log and the gateways' reports. Pure: it only asks.

It never remembers: after a restart the same state leads to the same commands with the same ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.domain import policy as policies
from headgate.domain.names import model_stream, release_subject
from headgate.domain.release import freeze_at, is_active, phase_name
from headgate.domain.state import EnvironmentState, ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.isolation import Undecidable, isolated
from headgate.worker.loop import Issue
from services.deployer.evidence import Gateway, GatewayReports
from services.deployer.judge import judge
from services.deployer.orders import order
from services.deployer.queue import next_in_line, wished_releases


@dataclass(frozen=True, slots=True)
class Observation:
    """All that is known of one release at one moment."""

    model: str
    release: resources.Release
    policy: configuration.ReleasePolicy
    gateways: tuple[Gateway, ...]
    judgement: facts.Judgement
    frozen: bool
    now_ms: int

    @property
    def served_ms(self) -> int:
        """For how long the weights in force have been in force everywhere."""
        return self.now_ms - self.release.applied_at_ms

    @property
    def stratum(self) -> facts.Stratum:
        """What was seen under the weights in force."""
        strata = [stratum for stratum in self.judgement.strata if stratum.epoch == self.release.epoch]
        return max(strata, key=lambda stratum: stratum.candidate_keys, default=facts.Stratum())

    @property
    def lagging(self) -> list[str]:
        """Live gateways that do not serve the weights in force yet."""
        return [each.name for each in self.gateways if each.route(self.model).epoch < self.release.epoch]

    @property
    def unready(self) -> list[str]:
        """Live gateways that have not loaded the candidate."""
        candidate = self.release.candidate
        return [each.name for each in self.gateways if candidate not in each.route(self.model).ready_versions]


@dataclass(frozen=True, slots=True)
class Move:
    """A command that is due, or what a release waits for."""

    command: commands.Command | None
    waiting_for: str = ""


def due(
    models: Mapping[str, ModelState],
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> Iterator[Issue | Undecidable]:
    """Every command that is due now, and every release about which nothing can be decided."""
    for state in models.values():
        stream = model_stream(state.name)
        yield from isolated(stream, "", _requests, state)
        for release in state.releases.values():
            if is_active(release):
                subject = release_subject(release.release)
                yield from isolated(stream, subject, _moves, state, release, environments, reports, now_ms)


def _requests(state: ModelState) -> list[Issue]:
    return [Issue(command) for command in wished_releases(state)]


def _moves(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> list[Issue]:
    command = move(state, observe(state, release, environments, reports, now_ms)).command
    return [Issue(command)] if command is not None else []


def pilots(
    models: Mapping[str, ModelState],
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> list[worker_services.Pilot]:
    """Every release under way as it looks from here."""
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
        seen = observe(state, release, environments, reports, now_ms)
        return worker_services.Pilot(
            release=release,
            judgement=seen.judgement,
            live_gateways=[gateway.name for gateway in seen.gateways],
            waiting_for=move(state, seen).waiting_for,
        )
    except Exception as error:  # noqa: BLE001 - the other releases are shown, and this one with its error
        return worker_services.Pilot(
            release=release, waiting_for=f"an error to be mended: {type(error).__name__}: {error}"
        )


def observe(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> Observation:
    """Gathers what is known of a release."""
    policy = policies.resolve(release.policy)
    return Observation(
        model=state.name,
        release=release,
        policy=policy,
        gateways=reports.gateways(release.environment, now_ms),
        judgement=judge(policy.judge, reports.strata(state.name, release)),
        frozen=freeze_at(environments.get(release.environment), now_ms) is not None,
        now_ms=now_ms,
    )


def move(state: ModelState, seen: Observation) -> Move:
    """The next step of one release that has not ended."""
    release = seen.release
    if _has_failed(seen):
        return _roll_back(seen, facts.ROLLBACK_CAUSE_VERDICT, seen.judgement.explanation)
    if _is_quarantined(state, release):
        return _roll_back(seen, facts.ROLLBACK_CAUSE_ABORTED, "the candidate was quarantined")
    if release.phase == resources.PHASE_REQUESTED:
        waiting = "the end of a freeze" if seen.frozen else "the release before it, or to be resumed"
        return Move(next_in_line(state, release, seen.frozen), waiting)
    if release.phase == resources.PHASE_ROLLING_BACK:
        return _finish_rollback(seen)
    if release.paused:
        return Move(None, f"someone to resume it: {release.paused_reason}")
    return _advance(seen)


def _advance(seen: Observation) -> Move:
    release = seen.release
    match release.phase:
        case resources.PHASE_PREPARING:
            return _enter_traffic(seen) if release.candidate_ready else _prepare(seen)
        case resources.PHASE_STEPPING:
            return _step(seen) if release.applied_at_ms else _report_applied(seen)
        case resources.PHASE_PROMOTING:
            return _report_applied(seen)
        case resources.PHASE_BAKING:
            return _bake(seen)
        case _:
            raise ValueError(f"{release.name} is {phase_name(release)}: nothing to pilot")


def _is_quarantined(state: ModelState, release: resources.Release) -> bool:
    """Whether somebody has taken the candidate out of service since it was asked for, and nobody overrides that."""
    candidate = state.versions.get(release.candidate, resources.Version())
    is_going = release.phase != resources.PHASE_ROLLING_BACK and is_active(release)
    return is_going and candidate.quarantined and not release.override_quarantine


def _has_failed(seen: Observation) -> bool:
    """Whether evidence takes the candidate back: not a first version, nor one that a person went back to by undo."""
    in_traffic = (resources.PHASE_STEPPING, resources.PHASE_PROMOTING, resources.PHASE_BAKING)
    can_go_back = seen.release.stable and not seen.release.undo_of
    return bool(can_go_back) and seen.release.phase in in_traffic and seen.judgement.verdict == facts.VERDICT_FAIL


def _prepare(seen: Observation) -> Move:
    release, late = seen.release, seen.now_ms - seen.release.phase_since_ms >= seen.policy.prepare_deadline_ms
    if not seen.gateways:
        return _pause(seen, "no gateway is live") if late else Move(None, "a live gateway")
    if not seen.unready:
        names = [gateway.name for gateway in seen.gateways]
        wish = commands.ReportCandidateReady(release=release.release, gateways=names)
        return Move(order(seen.model, release, "candidate-ready", wish))
    waiting = f"the candidate on {', '.join(seen.unready)}"
    return _roll_back(seen, facts.ROLLBACK_CAUSE_NOT_READY, _load_failures(seen)) if late else Move(None, waiting)


def _load_failures(seen: Observation) -> str:
    failures = [
        f"{gateway.name}: {failure.reason}"
        for gateway in seen.gateways
        for failure in gateway.route(seen.model).failures
        if failure.version == seen.release.candidate
    ]
    return "; ".join([f"not loaded in time by {', '.join(seen.unready)}", *failures])


def _enter_traffic(seen: Observation) -> Move:
    strategy = seen.release.strategy
    if strategy == configuration.STRATEGY_CANARY and seen.release.stable:
        return _set_weights(seen, 0)
    reasons = {configuration.STRATEGY_BLUE_GREEN: "blue-green", configuration.STRATEGY_DIRECT: "direct"}
    return _promote(seen, reasons.get(strategy, "nothing is live beside it"))


def _step(seen: Observation) -> Move:
    release, stratum = seen.release, seen.stratum
    step = seen.policy.steps[release.step]
    is_last = release.step + 1 == len(seen.policy.steps)
    if seen.served_ms < step.min_duration_ms:
        return _hold(seen, f"{step.min_duration_ms - seen.served_ms} ms more at this weight")
    if stratum.candidate_keys < step.min_keys:
        return _hold(seen, f"{step.min_keys - stratum.candidate_keys} more candidate keys")
    if not is_last:
        return _set_weights(seen, release.step + 1)
    if seen.judgement.verdict == facts.VERDICT_PASS:
        return _promote(seen, "")
    return _hold(seen, f"a verdict. {seen.judgement.explanation}")


def _hold(seen: Observation, waiting_for: str) -> Move:
    """Stays at the step, but not for ever and not in the dark."""
    if not seen.stratum.candidate_requests and seen.served_ms >= seen.policy.no_data_limit_ms:
        return _pause(seen, "no data: the candidate got no request at this weight")
    if seen.served_ms >= seen.policy.hold_deadline_ms:
        return _pause(seen, f"inconclusive: still waiting for {waiting_for}")
    return Move(None, waiting_for)


def _report_applied(seen: Observation) -> Move:
    if not seen.gateways:
        return Move(None, "a live gateway")
    if seen.lagging:
        return Move(None, f"the weights on {', '.join(seen.lagging)}")
    return Move(_applied(seen))


def _applied(seen: Observation) -> commands.Command:
    epoch = seen.release.epoch
    wish = commands.ReportWeightsApplied(
        release=seen.release.release, epoch=epoch, gateways=[gateway.name for gateway in seen.gateways]
    )
    return order(seen.model, seen.release, f"weights-applied/{epoch}", wish)


def _bake(seen: Observation) -> Move:
    # A first version has nothing to be taken back to, so there is nothing to watch it for.
    left_ms = seen.policy.bake_ms - seen.served_ms if seen.release.stable else 0
    if left_ms > 0:
        return Move(None, f"{left_ms} ms more of bake")
    wish = commands.CompleteRelease(release=seen.release.release, judgement=seen.judgement)
    return Move(order(seen.model, seen.release, "complete", wish))


def _finish_rollback(seen: Observation) -> Move:
    if seen.release.applied_at_ms:
        wish = commands.FinishRollback(release=seen.release.release)
        return Move(order(seen.model, seen.release, "finish-rollback", wish))
    # Without a live gateway nothing serves the candidate: the next one starts from the log, on stable.
    return Move(None, f"stable on {', '.join(seen.lagging)}") if seen.lagging else Move(_applied(seen))


def _set_weights(seen: Observation, step: int) -> Move:
    wish = commands.SetWeights(release=seen.release.release, step=step, judgement=seen.judgement)
    return _forward(seen, order(seen.model, seen.release, f"set-weights/{step}", wish))


def _promote(seen: Observation, reason: str) -> Move:
    wish = commands.PromoteRelease(release=seen.release.release, judgement=seen.judgement, reason=reason)
    return _forward(seen, order(seen.model, seen.release, "promote", wish))


def _forward(seen: Observation, command: commands.Command) -> Move:
    return Move(None, "the end of a freeze") if seen.frozen else Move(command)


def _pause(seen: Observation, reason: str) -> Move:
    wish = commands.PauseRelease(release=seen.release.release, reason=reason)
    # A release that is resumed begins a new stretch, which may end in a pause of its own.
    return Move(order(seen.model, seen.release, f"pause/{seen.release.phase_since_ms}", wish))


def _roll_back(seen: Observation, cause: facts.RollbackCause.ValueType, reason: str) -> Move:
    wish = commands.RollBackRelease(release=seen.release.release, cause=cause, reason=reason, judgement=seen.judgement)
    return Move(order(seen.model, seen.release, "roll-back", wish))
