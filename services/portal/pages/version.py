"""Version: its way as a list of facts, the gate's rules with what they asked, metrics, provenance and approvals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.client.timeline import describe
from headgate.domain.label import standing
from headgate.domain.names import model_stream
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.portal.actions import REGISTRY_SERVICE, VERSION_ACTIONS, Action, Event
from services.portal.page import Look, Page, no_such
from services.portal.pages.fleet import live_in
from services.portal.pages.model import kind_of, stream_of_model
from services.portal.sources import Sources

MAX_METRICS = 40
MAX_DATA = 20
MAX_LOG_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the gate: what it asked of which metric, what was measured, and whether that was enough."""

    metric: str
    asked: str
    value: float | None
    baseline: float | None
    passed: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric beside that of the version which was live, on the same rows."""

    name: str
    value: float
    interval: tuple[float, float] | None
    baseline: float | None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """What the page shows."""

    model: str
    version: resources.Version
    kind: str
    sentence: str
    author: str
    live: Sequence[str]
    rules: Sequence[Rule]
    metrics: Sequence[Measured]
    data: Sequence[tuple[str, str]]
    failure_log: str
    approvals_wanted: int
    actions: Sequence[Action]
    events: Sequence[Event]
    compared: int
    """What to compare it with: what it was measured beside, or what is live; 0 for nothing."""


def gather(sources: Sources, look: Look) -> Sequence[facts.LifecycleRecord]:
    """The facts about the version."""
    with sources.reading(look.world):
        version, _ = _found(look)
        from_ms, until_ms = version.create_time_ms, version.update_time_ms or look.world.now_ms
    found = sources.records(model_stream(look.path["model"]), from_ms, min(until_ms, look.world.now_ms))
    return [each for each in found if _is_about(each, look.path["version"])]


def version_page(look: Look) -> VersionPage:
    """The version as it stands. Raises NoSuchPage."""
    version, author = _found(look)
    model = look.path["model"]
    state = look.world.folded.models[model]
    before = {metric.name: metric.value for metric in version.baseline_report.metrics}
    return VersionPage(
        model=model,
        version=version,
        kind=kind_of(version),
        sentence=standing(version),
        author=author,
        live=live_in(state.model.live, version.version),
        rules=[_rule(result) for result in version.gate.results],
        metrics=[_measured(metric, before) for metric in version.report.metrics[:MAX_METRICS]],
        data=[(each.name or each.uri, each.sha256) for each in version.configuration.data[:MAX_DATA]],
        failure_log=version.failure_log_tail[-MAX_LOG_CHARACTERS:],
        approvals_wanted=version.configuration.gate.approvals,
        actions=[] if look.world.is_fixed else _actions(look, version),
        events=[Event(each.occurred_at_ms, _text(each, version.version), each.actor) for each in look.gathered],
        compared=_compared(state.model.live, version),
    )


def _compared(live: Mapping[str, int], version: resources.Version) -> int:
    beside = [version.baseline_version, *live.values()]
    return next((number for number in beside if number not in (0, version.version)), 0)


def _found(look: Look) -> tuple[resources.Version, str]:
    """The version and who created it."""
    model, number = look.path["model"], look.path["version"]
    state = look.world.folded.models.get(model)
    version = state.versions.get(number) if state and look.viewer.sees(model) else None
    if state is None or version is None:
        raise no_such(f"version {number} of {model}", look.world)
    return version, state.authors.get(number, "")


def _is_about(record: facts.LifecycleRecord, number: int) -> bool:
    kind = record.WhichOneof("fact")
    fact = getattr(record, kind) if kind else None
    return number in (getattr(fact, "version", None), getattr(fact, "candidate", None))


def _text(record: facts.LifecycleRecord, number: int) -> str:
    return describe(record).removeprefix(f"v{number} ")


def _rule(result: facts.RuleResult) -> Rule:
    rule = result.rule
    asked = [
        *([f"at least {rule.min:g}"] if rule.HasField("min") else []),
        *([f"at most {rule.max:g}"] if rule.HasField("max") else []),
        *([f"at most {rule.max_drop:g} worse than what is live"] if rule.HasField("max_drop") else []),
    ]
    return Rule(
        metric=rule.metric + (f" on {rule.slice}" if rule.slice else ""),
        asked=", ".join(asked),
        value=result.value if result.HasField("value") else None,
        baseline=result.baseline if result.HasField("baseline") else None,
        passed=result.passed,
        explanation=result.explanation,
    )


def _measured(metric: facts.Metric, before: Mapping[str, float]) -> Measured:
    interval = (metric.interval.low, metric.interval.high) if metric.HasField("interval") else None
    return Measured(metric.name, metric.value, interval, before.get(metric.name))


_BUTTONS = {"approve": ("Approve", "primary"), "deny": ("Deny", "danger")}


def _actions(look: Look, version: resources.Version) -> list[Action]:
    """An approval and its refusal, while the gate waits for them and where the viewer may give them."""
    if version.verdict != resources.VERDICT_STATE_AWAITING_APPROVAL:
        return []
    found = []
    for word, (label, kind) in _BUTTONS.items():
        method, request = VERSION_ACTIONS[word]
        if look.viewer.may(REGISTRY_SERVICE + method, request(name=version.name)):
            command = f"headgate version {word} {look.path['model']}/{version.version}"
            found.append(Action(word, label, kind, False, command))
    return found


PAGE = Page("/models/{model}/versions/{version:int}", "version.html", version_page, gather, stream_of_model)
