"""Model: what is live, its releases, and its versions as a table that is sorted, filtered and turned page by page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from headgate.domain.names import model_stream
from headgate.domain.phases import is_active
from headgate.domain.printable import printable
from headgate.domain.state import ModelState
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from headgate.view.filter import BadQuery
from headgate.view.folded import find
from headgate.view.query import new_query, page_token
from services.portal.metric_chart import MetricChart, Point, metric_chart
from services.portal.page import Look, Page, no_such
from services.portal.pages.fleet import Release, live_in, shown_release

ROWS = 50
"""Versions on one page."""
MAX_METRICS = 4
"""Columns of metrics: those that most of the shown versions have."""
MAX_RELEASES = 8
"""Releases that have ended, the newest ones."""
MAX_SHOWN = 300
MAX_POINTS = 1_000
"""Versions in the chart, the newest ones."""
MAX_CHARTS = 12
"""Metrics that can be chosen for it."""
LEAST_POINTS = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One version."""

    version: int
    label: str
    kind: str
    live: Sequence[str]
    create_time_ms: int
    commit: str
    message: str
    metrics: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Sorting:
    """The heading of a column that sorts: its order now, and the order that a click asks for."""

    word: str
    order: str
    direction: str


@dataclass(frozen=True, slots=True)
class ModelPage:
    """What the page shows. `problem` says what is wrong with the filter or the order."""

    model: resources.Model
    live: Sequence[tuple[str, int]]
    running: Sequence[Release]
    ended: Sequence[Release]
    versions: int
    rows: Sequence[Row]
    metrics: Sequence[Sorting]
    by_version: Sorting
    by_time: Sorting
    filter: str
    order: str
    next: str
    is_first: bool
    problem: str
    stopped: str
    choices: Sequence[tuple[int, str]]
    """Versions that may be compared: those of this page of the table, and those that are live."""
    compared: tuple[int, int]
    chart: MetricChart | None
    metric: str
    """The one of the chart."""
    measured: Sequence[str]
    """Those that a chart may show."""


def model_page(look: Look) -> ModelPage:
    """The model as it stands. Raises NoSuchPage."""
    name, query = look.path["model"], look.query
    state = look.world.folded.models.get(name)
    if state is None or not look.viewer.sees(name):
        raise no_such(f"model {name}", look.world)
    order, wanted = query.get("order", "") or "version desc", query.get("filter", "")
    found, token, problem = _versions(look, order)
    metrics = _most_common(found)
    measured = _measured(state)
    chosen = query.get("metric", "") if query.get("metric") in measured else next(iter(measured), "")
    releases = [shown_release(each) for each in sorted(state.releases.values(), key=lambda each: -each.release)]
    active = {each.release for each in state.releases.values() if is_active(each)}
    stream = look.world.folded.streams.get(model_stream(name))
    return ModelPage(
        model=state.model,
        live=sorted(state.model.live.items()),
        running=[each for each in releases if each.number in active],
        ended=[each for each in releases if each.number not in active][:MAX_RELEASES],
        versions=len(state.versions),
        rows=[_row(version, state.model.live, metrics) for version in found],
        metrics=[_sorting(name, f"metrics.{name}", order) for name in metrics],
        by_version=_sorting("Version", "version", order),
        by_time=_sorting("Created", "create_time", order),
        filter=wanted,
        order=order,
        next=token,
        is_first=not query.get("page"),
        problem=problem,
        stopped=stream.broken if stream else "",
        choices=_choices(state.model.live, found),
        compared=_compared(state.model.live, [each.version for each in found]),
        chart=_chart(state, chosen) if chosen else None,
        metric=chosen,
        measured=measured,
    )


def _measured(state: ModelState) -> list[str]:
    """The metrics of the newest version that was measured."""
    for number in range(len(state.versions), max(0, len(state.versions) - MAX_POINTS), -1):
        if metrics := state.versions[number].report.metrics:
            return [metric.name for metric in metrics][:MAX_CHARTS]
    return []


def _chart(state: ModelState, name: str) -> MetricChart | None:
    """The metric over the newest versions that have it, beside the bounds of the newest one's gate."""
    numbers = range(max(1, len(state.versions) - MAX_POINTS + 1), len(state.versions) + 1)
    points = [point for number in numbers if (point := _point(state.versions[number], name)) is not None]
    if len(points) < LEAST_POINTS:
        return None
    gate = state.versions[points[-1].version].configuration.gate
    rules = [rule for rule in gate.rules if rule.metric == name and not rule.slice]
    bounds = {f"gate: at least {rule.min:g}": rule.min for rule in rules if rule.HasField("min")}
    bounds |= {f"gate: at most {rule.max:g}": rule.max for rule in rules if rule.HasField("max")}
    return metric_chart(
        points, {words: value for words, value in bounds.items() if math.isfinite(value)}, state.model.live
    )


def _point(version: resources.Version, name: str) -> Point | None:
    for metric in version.report.metrics:
        if metric.name == name and math.isfinite(metric.value):
            interval = (metric.interval.low, metric.interval.high) if metric.HasField("interval") else None
            bounded = interval if interval and all(map(math.isfinite, interval)) else None
            return Point(version.version, metric.value, bounded, kind_of(version))
    return None


def _choices(live: Mapping[str, int], shown: Iterable[resources.Version]) -> list[tuple[int, str]]:
    numbers = sorted({*live.values(), *(each.version for each in shown)}, reverse=True)
    return [(number, "".join(f", live in {name}" for name in live_in(live, number))) for number in numbers if number]


def _compared(live: Mapping[str, int], shown: Sequence[int]) -> tuple[int, int]:
    """What a comparison begins with: the newest version on the page, against what is live or else the one before."""
    newest = max(shown, default=0)
    before = [number for number in live.values() if number != newest] or [each for each in shown if each != newest]
    return max(before, default=newest), newest


def _versions(look: Look, order: str) -> tuple[list[resources.Version], str, str]:
    """One page of versions, what continues it, and what is wrong with the query."""
    query = look.query
    try:
        asked = new_query(Kind.VERSION, look.path["model"], query.get("filter", ""), order, ROWS, query.get("page", ""))
    except BadQuery as error:
        return [], "", printable(str(error))[:MAX_SHOWN]
    answer = find(look.world.folded.models, asked)
    found = cast("list[resources.Version]", answer.resources)
    return found, page_token(asked, answer.next) if answer.next else "", ""


def _most_common(versions: Iterable[resources.Version]) -> list[str]:
    counts: dict[str, int] = {}
    for version in versions:
        for metric in version.report.metrics:
            counts[metric.name] = counts.get(metric.name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])[:MAX_METRICS]


def _row(version: resources.Version, live: Mapping[str, int], metrics: Sequence[str]) -> Row:
    measured = {metric.name: metric.value for metric in version.report.metrics}
    return Row(
        version=version.version,
        label=version.label,
        kind=kind_of(version),
        live=live_in(live, version.version),
        create_time_ms=version.create_time_ms,
        commit=version.commit[:10],
        message=version.commit_message.partition("\n")[0],
        metrics=[measured.get(name) for name in metrics],
    )


def kind_of(version: resources.Version) -> str:
    """The meaning of the colour of a version's label."""
    if version.retention != resources.RETENTION_STATE_KEPT:
        return ""
    if version.quarantined or version.label.endswith(("failed", "denied")):
        return "bad"
    if version.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL:
        return "waits"
    passed = (resources.VERDICT_STATE_PASSED, resources.VERDICT_STATE_APPROVED, resources.VERDICT_STATE_WAIVED)
    return "good" if version.verdict in passed else "moving"


def _sorting(word: str, path: str, order: str) -> Sorting:
    """A click sorts downwards, and upwards where it is sorted downwards already."""
    now, _, direction = order.partition(" ")
    is_here = now == path
    descends = is_here and direction.strip() == "desc"
    return Sorting(word, f"{path} asc" if descends else f"{path} desc", _arrow(is_here, descends))


def _arrow(is_here: bool, descends: bool) -> str:
    return ("descending" if descends else "ascending") if is_here else "none"


def stream_of_model(path: Mapping[str, Any]) -> str:
    """The stream that the slider of a page about one model goes through."""
    return model_stream(path["model"])


PAGE = Page("/models/{model}", "model.html", model_page, stream=stream_of_model)
