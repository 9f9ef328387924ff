"""The committed dashboards match their source and Grafana's schema, and follow our rules for readable dashboards."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from k8s.monitoring.dashboards.__main__ import generated
from tests.monitoring.questions import DASHBOARDS, alerts, panels

GRID_WIDTH = 24
VARIABLES = ["datasource", "environment", "model", "service"]

GENERATED = generated()

register_default_plugins()


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


def through_the_schema(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The dashboard after the SDK has read and written it. The SDK loses keys that it does not know."""
    return json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(dashboard)), cls=JSONEncoder))


def test_there_are_four_dashboards() -> None:
    assert {file.stem for file in DASHBOARDS} == {"fleet", "release", "quality", "log"}


@pytest.mark.parametrize("file", GENERATED, ids=lambda file: file.name)
def test_the_committed_files_match_their_source(file: Path) -> None:
    assert file.read_text() == GENERATED[file], "run `make dashboards`"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_survives_the_schema_unchanged(file: Path) -> None:
    assert through_the_schema(load(file)) == load(file)


@pytest.mark.parametrize(("right", "wrong"), [("targets", "tragets"), ("gridPos", "gridpos"), ("options", "opions")])
def test_a_misspelt_key_does_not_survive_the_schema(right: str, wrong: str) -> None:
    dashboard = load(DASHBOARDS[0])
    panel = next(panels(dashboard))
    panel[wrong] = panel.pop(right)
    assert through_the_schema(dashboard) != dashboard


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_a_title_a_description_a_data_source_and_a_unit(file: Path) -> None:
    for panel in panels(load(file)):
        assert panel["title"]
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert "unit" in panel["fieldConfig"]["defaults"] or panel["type"] == "state-timeline", panel["title"]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_panel_names_only_existing_runbooks(file: Path) -> None:
    named = {name for panel in panels(load(file)) for name in re.findall(r"\bHeadgate[A-Z]\w+", panel["description"])}
    assert named <= {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_graph_has_a_legend_and_names_for_its_series(file: Path) -> None:
    for panel in panels(load(file)):
        if panel["type"] in ("timeseries", "state-timeline"):
            assert panel["options"]["legend"]["showLegend"], panel["title"]
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_do_not_overlap_and_stay_on_the_page(file: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in load(file)["panels"]:
        at = panel["gridPos"]
        assert at.get("x", 0) + at["w"] <= GRID_WIDTH, panel["title"]
        for x in range(at.get("x", 0), at.get("x", 0) + at["w"]):
            for y in range(at.get("y", 0), at.get("y", 0) + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) is panel["title"]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_has_unique_panels_an_id_variables_links_and_markers(file: Path) -> None:
    dashboard = load(file)
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in panels(dashboard)]
    assert (len(set(ids)), len(set(titles))) == (len(ids), len(titles))
    assert dashboard["uid"] == f"headgate-{file.stem}"
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == VARIABLES
    assert [link["tags"] for link in dashboard["links"]] == [dashboard["tags"]] == [["headgate"]]
    assert len(dashboard["annotations"]["list"]) == 3
