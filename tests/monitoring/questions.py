"""The Prometheus queries of dashboards and rules, with the metrics and labels in each."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headgate.runtime.observability.metric_catalogue import CATALOGUE
from tests.house.tree import ROOT

MONITORING = ROOT / "k8s" / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana").glob("*.json"))
RULES = sorted((MONITORING / "rules").glob("*.yaml"))

TARGET_LABELS = {"job", "service", "instance"}
"""The labels that Prometheus adds to every series that it scrapes."""

FROM_THE_CLIENT = {
    "up": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    "process_start_time_seconds": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
}
"""Series of Prometheus itself and of its client library, with their labels."""

SELECTOR = re.compile(r"(?<![\w:$.\"])([a-zA-Z_][\w:]*)\s*\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on|ignoring|group_left|group_right|without)\s*\(([^)]*)\)")
NAME = re.compile(r"\bheadgate[_:][\w:]+")


@dataclass(frozen=True, slots=True)
class Question:
    """One expression, and where it is used."""

    where: str
    expr: str

    def __str__(self) -> str:
        return self.where


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard, without its rows."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def asked_by(file: Path) -> Iterator[Question]:
    """All expressions of a dashboard's panels and annotations."""
    dashboard = json.loads(file.read_text())
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Question(f"{file.stem}: {panel['title']} {target['refId']}", target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        yield Question(f"{file.stem}: marker {annotation['name']}", annotation["target"]["expr"])


def rules() -> Iterator[dict[str, Any]]:
    """Every recording and alert rule."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def dashboard_questions() -> list[Question]:
    return [question for file in DASHBOARDS for question in asked_by(file)]


def all_questions() -> list[Question]:
    ruled = [Question(f"rule {rule.get('alert') or rule['record']}", rule["expr"]) for rule in rules()]
    return [*dashboard_questions(), *ruled, *autoscaler_questions()]


def autoscaler_questions() -> list[Question]:
    """The queries by which KEDA decides whether to add a pod."""
    resources = [
        resource
        for file in sorted((ROOT / "k8s" / "components").rglob("*.yaml"))
        for resource in yaml.safe_load_all(file.read_text())
        if isinstance(resource, dict) and resource.get("kind") == "ScaledObject"
    ]
    triggers = [trigger["metadata"] for resource in resources for trigger in resource["spec"]["triggers"]]
    return [Question("autoscaler", trigger["query"]) for trigger in triggers if "query" in trigger]


def metrics_in(expr: str) -> set[str]:
    """The names of all series that an expression reads."""
    return set(NAME.findall(_without_strings(expr))) | {name for name, _ in selectors_in(expr)}


def selectors_in(expr: str) -> list[tuple[str, set[str]]]:
    """Each `name{...}` with the labels that it selects by."""
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))) for name, inside in SELECTOR.findall(expr)]


def groupings_in(expr: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    return {label.strip() for inside in GROUPING.findall(expr) for label in inside.split(",") if label.strip()}


def known_series() -> dict[str, set[str]]:
    """All series that can be queried, with their labels beside those of the target."""
    known = dict(FROM_THE_CLIENT)
    for metric in CATALOGUE:
        labels = set(metric.labels)
        known[metric.name] = labels
        if metric.kind == "histogram":
            known |= {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_sum": labels}
            known[f"{metric.name}_count"] = labels
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = groupings_in(rule["expr"])
    return known


def _without_strings(expr: str) -> str:
    return re.sub(r'"[^"]*"', '""', expr)
