"""Every question that a dashboard asks is answered with data by a Prometheus that watched live services."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import redis_available
from tests.monitoring.questions import DASHBOARDS, panels
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


def has_data(answer: Series) -> bool:
    """Whether some series holds a number; the quantile of nothing is none."""
    points = (point for series in answer for point in series.get("values", [series.get("value")]))
    return any(math.isfinite(float(value)) for _, value in points)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_data(told: Told, file: Path) -> None:
    silent = []
    for panel in panels(json.loads(file.read_text())):
        for target in panel["targets"]:
            expr = substituted(target["expr"])
            if target.get("instant"):
                # What is true of a release only while it runs is asked for then.
                answers = [told.prometheus.at(expr, moment) for moment in (told.in_release, told.ended)]
            else:
                answers = [told.prometheus.over(expr, told.began, told.ended)]
            if not any(has_data(answer) for answer in answers):
                silent.append(f"{panel['title']} {target['refId']}: {expr}")
    assert silent == []


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
