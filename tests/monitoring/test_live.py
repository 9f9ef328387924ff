"""Every question that a dashboard asks is answered with data by a Prometheus that watched live services."""

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
from tests.monitoring.story import Told, tell
from tests.monitoring.tools import tool
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
    Needs.REDIS: "",  # the story has one
    Needs.FACTS: "nothing_has_happened",
    Needs.CALLS: "nothing_has_happened",
    Needs.VERSION: "nothing_has_happened",
    Needs.COMPLETED: "nothing_has_happened",
    Needs.RELEASE_SEEN: "nothing_has_happened",
    Needs.TWICE: "nothing_has_happened",
    Needs.PREDICTIONS: "first_version_goes_live",
    Needs.LISTS: "first_version_goes_live",
    Needs.REFUSED: "it_is_called",
    Needs.RELEASE: "what_should_not_happen",
    Needs.SPLIT: "what_should_not_happen",
    Needs.ROLLED_BACK: "what_should_not_happen",
}
"""The last part of the story without what a panel needs; empty where nothing has to happen first."""

CAUSED = {"HeadgateReleaseRolledBack", "HeadgateDeadLetters"}
POSSIBLE = {"HeadgateCandidateErrors", "HeadgatePredictionErrors"}
"""Alerts that there is reason for as well, and which come only where the story takes its time."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("story")
    with redis_available() as redis, tell(folder, tool("prometheus"), {"HEADGATE_REDIS": redis.url}) as told:
        yield told


def substituted(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def answers(told: Told, target: dict[str, Any], part: str) -> bool:
    """Whether a panel's question has data at the end of this part of the story, as the panel asks it."""
    expr, moment = substituted(target["expr"]), told.moments[part]
    if target.get("instant"):
        return has_data(told.prometheus.at(expr, moment))
    # What is asked a second later belongs to the next part.
    return has_data(told.prometheus.over(expr, told.began, moment - 1))


def has_data(answer: Series) -> bool:
    """Whether some series holds a number; the quantile of nothing is none."""
    points = (point for series in answer for point in series.get("values", [series.get("value")]))
    return any(math.isfinite(float(value)) for _, value in points)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_data(told: Told, file: Path) -> None:
    silent = [
        f"{panel['title']} {target['refId']}: {target['expr']}"
        for panel in panels(json.loads(file.read_text()))
        for target in panel["targets"]
        # What is true of a release only while it runs is asked for then.
        if not any(answers(told, target, part) for part in ("candidate_meets_traffic", "candidate_is_taken_back"))
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_panel_is_empty_until_there_is_what_it_needs(told: Told, page: Page) -> None:
    drawn = {
        panel["title"]: panel["targets"] for panel in panels(json.loads((GRAFANA / f"{page.name}.json").read_text()))
    }
    wrong = []
    for panel in panels_of(page):
        before = NEVER_BEFORE[panel.needs]
        seen = any(answers(told, target, before or "nothing_has_happened") for target in drawn[panel.title])
        if seen is not (before == ""):
            wrong.append(f"{panel.title}: {panel.needs.value} It had data: {seen}")
    assert wrong == []


def test_a_panel_needs_redis_when_it_asks_for_the_state_of_the_view() -> None:
    for page in PAGES:
        for panel in panels_of(page):
            asked = " ".join(query.expr for query in getattr(panel, "queries", ()))
            assert (panel.needs is Needs.REDIS) is any(name in asked for name in OF_THE_VIEW), panel.title


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_marker_of_what_happened_is_set(told: Told, file: Path) -> None:
    found = {}
    for annotation in json.loads(file.read_text())["annotations"]["list"]:
        series = told.prometheus.over(substituted(annotation["target"]["expr"]), told.began, told.ended)
        found[annotation["name"]] = {one["metric"]["event"] for one in series}
    assert {"ReleaseStarted", "WeightsSet", "ReleaseCompleted"} <= found["Release goes on"]
    assert found["Release is taken back"] == {"RollbackStarted", "ReleaseRolledBack"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_variable_offers_values(told: Told, file: Path) -> None:
    for variable in json.loads(file.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert query is not None, variable
            assert told.prometheus.label_values(query[1], query[2], told.began, told.ended), variable["name"]


def test_only_the_alerts_fire_that_there_was_reason_for(told: Told) -> None:
    fired = told.prometheus.at('max_over_time(ALERTS{alertstate="firing"}[10m])', told.ended)
    names = {series["metric"]["alertname"] for series in fired}
    assert CAUSED <= names <= CAUSED | POSSIBLE
