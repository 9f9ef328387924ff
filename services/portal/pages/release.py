"""Release: steps, weights, the evidence against what proves, what it waits for, what people may do, who did what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.client.timeline import describe
from headgate.domain import policy as policies
from headgate.domain.names import model_stream
from headgate.domain.pause import candidate_bps
from headgate.domain.phases import RUNNING, is_active, phase_with_step
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.domain.words import word_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from services.portal.actions import RELEASE_ACTIONS, RELEASE_SERVICE, Action, Event
from services.portal.log_chart import LogChart, log_chart
from services.portal.page import Look, Page, no_such
from services.portal.pages.fleet import release_kind
from services.portal.pages.model import stream_of_model
from services.portal.sources import Sources

LIVE_SECONDS = 2.0
"""How often the evidence of an open page is asked for."""
JUDGED = ("weights_set", "promotion_started", "release_completed", "rollback_started")
"""Facts with a judgement."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the log and the deployer say about the release."""

    records: Sequence[facts.LifecycleRecord]
    pilot: worker_services.Pilot | None


@dataclass(frozen=True, slots=True)
class Step:
    """One weight of the canary. `state` is done, now or ahead."""

    number: int
    weight_bps: int
    min_duration_ms: int
    min_keys: int
    state: str


@dataclass(frozen=True, slots=True)
class Arm:
    """The counts of one arm at one weight."""

    candidate_bps: int
    candidate_keys: int
    candidate_bad: int
    stable_keys: int
    stable_bad: int
    observed_bps: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The judge's numbers: each e-value with the threshold at which it is proof."""

    verdict: str
    explanation: str
    fail_e_value: float
    fail_threshold: float
    pass_e_value: float
    pass_threshold: float
    arms: Sequence[Arm]
    is_live: bool


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """What the page shows."""

    model: str
    number: int
    release: resources.Release
    phase: str
    kind: str
    strategy: str
    candidate_bps: int
    wanted_bps: int
    is_active: bool
    steps: Sequence[Step]
    wait: worker_services.Pilot | None
    asks_deployer: bool
    evidence: Evidence | None
    chart: LogChart | None
    actions: Sequence[Action]
    events: Sequence[Event]


def gather(sources: Sources, look: Look) -> Gathered:
    """The facts from its request to its end, and the deployer's view of a release that runs now."""
    with sources.reading(look.world):
        release = _found(look)
        wanted, ended_at_ms, runs = (release.name, release.requested_at_ms), release.ended_at_ms, is_active(release)
    until_ms = min(look.world.now_ms, ended_at_ms or look.world.now_ms)
    found = sources.records(model_stream(look.path["model"]), wanted[1], until_ms)
    records = [each for each in found if _is_about(each, look.path["release"])]
    if look.world.is_fixed or not runs:
        return Gathered(records, None)
    pilots = sources.calls.pilots(look.viewer)
    same = (p for p in (pilots.pilots if pilots else ()) if (p.release.name, p.release.requested_at_ms) == wanted)
    return Gathered(records, next(same, None))


def release_page(look: Look) -> ReleasePage:
    """The release as it stands. Raises NoSuchPage."""
    release, gathered = _found(look), look.gathered
    active = is_active(release)
    return ReleasePage(
        model=look.path["model"],
        number=release.release,
        release=release,
        phase="paused" if release.paused else phase_with_step(release),
        kind=release_kind(release),
        strategy=word_of(configuration.Strategy, release.strategy),
        candidate_bps=candidate_bps(release),
        wanted_bps=_wanted_bps(release),
        is_active=active,
        steps=_steps(release),
        wait=gathered.pilot,
        asks_deployer=active and not look.world.is_fixed,
        evidence=_evidence(release, gathered.pilot),
        chart=_chart(gathered, look.world.now_ms),
        actions=[] if look.world.is_fixed else _actions(look, release),
        events=[
            Event(each.occurred_at_ms, _without_name(describe(each), release.release), each.actor)
            for each in reversed(gathered.records)
        ],
    )


def _found(look: Look) -> resources.Release:
    model, number = look.path["model"], look.path["release"]
    state = look.world.folded.models.get(model)
    release = state.releases.get(number) if state and look.viewer.sees(model) else None
    if release is None:
        raise no_such(f"release {number} of {model}", look.world)
    return release


def _without_name(text: str, number: int) -> str:
    """The page is about one release, so its name need not stand in each line."""
    return text.removeprefix(f"release {number}").lstrip(": ")


def _is_about(record: facts.LifecycleRecord, number: int) -> bool:
    kind = record.WhichOneof("fact")
    return kind is not None and getattr(getattr(record, kind), "release", None) == number


def _wanted_bps(release: resources.Release) -> int:
    """The share that its step says; the present one where no step does."""
    if release.phase == resources.PHASE_STEPPING and 0 <= release.step < len(release.policy.steps):
        return release.policy.steps[release.step].weight_bps
    return candidate_bps(release)


def _steps(release: resources.Release) -> list[Step]:
    if release.strategy != configuration.STRATEGY_CANARY:
        return []
    past_steps = release.phase in (resources.PHASE_PROMOTING, resources.PHASE_BAKING, resources.PHASE_COMPLETED)
    policy = policies.resolve(release.policy)

    def state(number: int) -> str:
        if past_steps or number < release.step:
            return "done"
        return "now" if number == release.step and is_active(release) else "ahead"

    found = [
        Step(number + 1, step.weight_bps, step.min_duration_ms, step.min_keys, state(number))
        for number, step in enumerate(policy.steps)
    ]
    bake = {resources.PHASE_BAKING: "now", resources.PHASE_COMPLETED: "done"}.get(release.phase, "ahead")
    return [*found, Step(len(found) + 1, FULL_WEIGHT_BPS, policy.bake_ms, 0, bake)]


def _evidence(release: resources.Release, pilot: worker_services.Pilot | None) -> Evidence | None:
    is_live = pilot is not None and pilot.HasField("judgement")
    judgement = pilot.judgement if pilot is not None and is_live else release.judgement
    if not judgement.fail_threshold:
        return None
    return Evidence(
        verdict=word_of(facts.Verdict, judgement.verdict),
        explanation=judgement.explanation,
        fail_e_value=judgement.fail_e_value,
        fail_threshold=judgement.fail_threshold,
        pass_e_value=judgement.pass_e_value,
        pass_threshold=judgement.pass_threshold,
        arms=[_arm(stratum) for stratum in judgement.strata],
        is_live=is_live,
    )


def _arm(stratum: facts.Stratum) -> Arm:
    requests = stratum.candidate_requests + stratum.stable_requests
    return Arm(
        candidate_bps=stratum.candidate_weight_bps,
        candidate_keys=stratum.candidate_keys,
        candidate_bad=stratum.candidate_bad_keys,
        stable_keys=stratum.stable_keys,
        stable_bad=stratum.stable_bad_keys,
        observed_bps=round(FULL_WEIGHT_BPS * stratum.candidate_requests / requests) if requests else None,
    )


def _chart(gathered: Gathered, now_ms: int) -> LogChart | None:
    """The e-values of each judgement that the log has, and of this moment."""
    found = [(each.occurred_at_ms, _judgement(each)) for each in gathered.records]
    if gathered.pilot is not None and gathered.pilot.HasField("judgement"):
        found.append((now_ms, gathered.pilot.judgement))
    judged = [(at_ms, judgement) for at_ms, judgement in found if judgement is not None and judgement.fail_threshold]
    if not judged:
        return None
    last = judged[-1][1]
    return log_chart(
        {
            "harm": [(at_ms, each.fail_e_value) for at_ms, each in judged],
            "safe": [(at_ms, each.pass_e_value) for at_ms, each in judged],
        },
        {"harm": last.fail_threshold, "safe": last.pass_threshold},
        begin_ms=gathered.records[0].occurred_at_ms if gathered.records else judged[0][0],
    )


def _judgement(record: facts.LifecycleRecord) -> facts.Judgement | None:
    kind = record.WhichOneof("fact")
    return getattr(record, kind).judgement if kind in JUDGED else None


_BUTTONS: Mapping[str, tuple[str, str, bool]] = {
    "resume": ("Resume", "primary", False),
    "pause": ("Pause", "", False),
    "promote": ("Promote", "", True),
    "abort": ("Abort", "danger", False),
    "undo": ("Undo", "danger", False),
}


def _actions(look: Look, release: resources.Release) -> list[Action]:
    """The buttons that the phase has a sense for, and that the viewer may press."""
    found = []
    for word in _sensible(release):
        label, kind, needs_reason = _BUTTONS[word]
        method, request = RELEASE_ACTIONS[word]
        if look.viewer.may(RELEASE_SERVICE + method, request(name=release.name)):
            command = f"headgate release {word} {look.path['model']}/{release.release}"
            command += ' --reason "..."' if needs_reason else ""
            found.append(Action(word, label, kind, needs_reason, command))
    return found


def _sensible(release: resources.Release) -> list[str]:
    if release.phase == resources.PHASE_COMPLETED:
        return ["undo"] if release.stable else []
    if not is_active(release) or release.phase == resources.PHASE_ROLLING_BACK:
        return []
    promotes = ["promote"] if release.phase in RUNNING and release.phase != resources.PHASE_PROMOTING else []
    return ["resume" if release.paused else "pause", *promotes, "abort"]


PAGE = Page(
    "/models/{model}/releases/{release:int}",
    "release.html",
    release_page,
    gather,
    stream_of_model,
    LIVE_SECONDS,
)
