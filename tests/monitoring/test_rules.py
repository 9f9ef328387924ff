"""Every alert fires when it should, does not fire when it should not, and has a runbook."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.tree import ROOT
from tests.monitoring.questions import MONITORING, RULES, alerts
from tests.monitoring.tools import tool

RULE_TESTS = sorted((ROOT / "tests" / "monitoring" / "rules").glob("*.yaml"))
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["What it means", "What to look at", "How to stop it"]
PROMTOOL_SECONDS = 60.0


def promtool(*arguments: str | Path) -> None:
    command = [tool("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_the_rules_it_names() -> None:
    promtool("check", "config", MONITORING / "prometheus.yml")


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_the_alerts_pass_their_rule_tests(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for file in RULE_TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {rule["alert"]: {True, False} for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_has_a_severity_a_summary_its_value_and_its_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert "$value" in rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_runbook_has_the_three_headings(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert lines[0] == f"# {page.stem}"
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_runbook_names_only_existing_panels(page: Path) -> None:
    text = " ".join(page.read_text().split())
    for dashboard, named in re.findall(r'[Dd]ashboard (\w+), (?:row )?("[^"]+"(?: and "[^"]+")*)', text):
        shown = json.loads((MONITORING / "grafana" / f"{dashboard.lower()}.json").read_text())["panels"]
        assert set(re.findall(r'"([^"]+)"', named)) <= {panel["title"] for panel in shown}


def test_the_operators_resource_holds_the_same_rules() -> None:
    resource = yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text())
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["spec"]["groups"] == groups
