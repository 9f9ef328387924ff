"""Every query of the dashboards has data on a Prometheus that has scraped live services. A commit is one trace."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s.monitoring.dashboards.__main__ import PAGES
from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, panels_of
from tests.conftest import redis_available
from tests.monitoring.questions import DASHBOARDS, MONITORING, panels
from tests.monitoring.story import Story, run_story
from tests.monitoring.tools import tool
from tests.monitoring.trace import check_lines, check_log, check_trace
from tests.otlp_collector import Collector, collecting
from tests.prometheus_server import Series

VARIABLES = {
    "$environment": ".*",
    "$model": ".*",
    "$service": ".*",
    "$__rate_interval": "20s",
    "$__range": "5m",
}
GRAFANA = MONITORING / "grafana"
OF_THE_VIEW = ("headgate_view_up", "headgate_view_lag_seconds", "headgate_view_lag_records")

NEVER_BEFORE: dict[Needs, str] = {
    Needs.NOTHING: "",
    Needs.REDIS: "",  # the story runs with Redis
    Needs.FACTS: "nothing_has_happened",
    Needs.CALLS: "nothing_has_happened",
    Needs.VERSION: "nothing_has_happened",
    Needs.COMPLETED: "nothing_has_happened",
    Needs.RELEASE_SEEN: "nothing_has_happened",
    Needs.TWICE: "nothing_has_happened",
    Needs.PREDICTIONS: "first_version_goes_live",
    Needs.TOGETHER: "first_version_goes_live",
    Needs.LISTS: "first_version_goes_live",
    Needs.REFUSED: "model_is_called",
    Needs.RELEASE: "invalid_input_arrives",
    Needs.SPLIT: "invalid_input_arrives",
    Needs.ROLLED_BACK: "invalid_input_arrives",
}
"""The last part of the story in which a panel still lacks what it needs; empty when it needs nothing."""

BY_CHANCE = {panel.title for page in PAGES for panel in panels_of(page) if panel.needs is Needs.TOGETHER}
"""The models of the story are quick, so requests rarely wait together: the series are there, often without a number."""

CAUSED = {"HeadgateReleaseRolledBack", "HeadgateDeadLetters"}
POSSIBLE = {"HeadgateCandidateErrors", "HeadgatePredictionErrors"}
"""Alerts that also have a cause, but fire only when the story takes long enough."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Gets the spans of the story."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with redis_available() as redis:
        settings = {"HEADGATE_REDIS": redis.url, "HEADGATE_TRACES": collector.endpoint}
        with run_story(folder, tool("prometheus"), settings) as story:
            yield story


def substituted(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def answers(story: Story, target: dict[str, Any], part: str) -> bool:
    """Whether a panel's query has data by the end of this part of the story."""
    return draws(story, target, part) or has_data(at_the_end(story, target, part))


def draws(story: Story, target: dict[str, Any], part: str) -> bool:
    """Whether the panel draws data by the end of this part of the story, queried as the panel does it.

    A range leaves the last second out, because it may belong to the next part. It also misses what lasts less than its
    step.
    """
    if target.get("instant"):
        return has_data(at_the_end(story, target, part))
    return has_data(story.prometheus.over(substituted(target["expr"]), story.began, story.moments[part] - 1))


def at_the_end(story: Story, target: dict[str, Any], part: str) -> Series:
    """The query's answer for the last moment of the part."""
    return story.prometheus.at(substituted(target["expr"]), story.moments[part])


def has_data(answer: Series) -> bool:
    """Whether at least one series has a number. The quantile of no events is not a number."""
    points = (point for series in answer for point in series.get("values", [series.get("value")]))
    return any(math.isfinite(float(value)) for _, value in points)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_data(story: Story, file: Path) -> None:
    empty = [
        f"{panel['title']} {target['refId']}: {target['expr']}"
        for panel in panels(json.loads(file.read_text()))
        for target in panel["targets"]
        # Some panels have data only while a release runs, so both moments are checked.
        if not any(answers(story, target, part) for part in ("candidate_meets_traffic", "candidate_is_rolled_back"))
        and not (panel["title"] in BY_CHANCE and at_the_end(story, target, "candidate_is_rolled_back"))
    ]
    assert empty == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_panel_is_empty_until_there_is_what_it_needs(story: Story, page: Page) -> None:
    drawn = {
        panel["title"]: panel["targets"] for panel in panels(json.loads((GRAFANA / f"{page.name}.json").read_text()))
    }
    wrong = []
    for panel in panels_of(page):
        before = NEVER_BEFORE[panel.needs]
        seen = any(draws(story, target, before or "nothing_has_happened") for target in drawn[panel.title])
        if seen is not (before == ""):
            wrong.append(f"{panel.title}: {panel.needs.value} It had data: {seen}")
    assert wrong == []


def test_a_panel_needs_redis_exactly_when_it_queries_the_state_of_the_view() -> None:
    for page in PAGES:
        for panel in panels_of(page):
            asked = " ".join(query.expr for query in getattr(panel, "queries", ()))
            assert (panel.needs is Needs.REDIS) is any(name in asked for name in OF_THE_VIEW), panel.title


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_event_of_the_releases_has_its_marker(story: Story, file: Path) -> None:
    found = {}
    for annotation in json.loads(file.read_text())["annotations"]["list"]:
        series = story.prometheus.over(substituted(annotation["target"]["expr"]), story.began, story.ended)
        found[annotation["name"]] = {one["metric"]["event"] for one in series}
    assert {"ReleaseStarted", "WeightsSet", "ReleaseCompleted"} <= found["Release moves forward"]
    assert found["Release is rolled back"] == {"RollbackStarted", "ReleaseRolledBack"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_variable_offers_values(story: Story, file: Path) -> None:
    for variable in json.loads(file.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert query is not None, variable
            assert story.prometheus.label_values(query[1], query[2], story.began, story.ended), variable["name"]


def test_only_the_alerts_with_a_cause_fire(story: Story) -> None:
    fired = story.prometheus.at('max_over_time(ALERTS{alertstate="firing"}[10m])', story.ended)
    names = {series["metric"]["alertname"] for series in fired}
    assert CAUSED <= names <= CAUSED | POSSIBLE


def test_a_commit_is_one_trace_through_every_hop(story: Story, collector: Collector) -> None:
    check_trace(collector, story.trace)


def test_every_service_writes_one_line_for_each_unit_of_work(story: Story) -> None:
    check_lines(story.folder, story.trace)


def test_the_facts_of_a_commit_carry_its_trace_until_it_is_live(story: Story) -> None:
    check_log(story.folder, story.trace)
