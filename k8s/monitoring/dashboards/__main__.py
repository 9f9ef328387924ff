"""`make dashboards`: writes the dashboards, the table of what panels need, and the PrometheusRule from their sources.

`check` finds what differs.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from k8s.monitoring.dashboards import fleet, log, quality, release
from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import panels_of, render

MONITORING = Path(__file__).resolve().parents[1]
PANELS_PAGE = MONITORING.parents[1] / "docs" / "operators" / "panels.md"
PAGES = (fleet.PAGE, release.PAGE, quality.PAGE, log.PAGE)
PANELS_HEAD = """\
# Which panel needs what

The panels of the dashboards in [monitoring.md](monitoring.md), by what has to have happened before they show
anything. In a small or a new installation many are empty, and nothing is wrong. A panel's description says the same.

`make dashboards` writes this page.
"""
RULE_HEAD = """\
# Written by `make dashboards` from rules/*.yaml, which Prometheus reads as they are; never edited.
"""


def generated() -> Mapping[Path, str]:
    """Every generated file and what it should hold."""
    dashboards = {
        MONITORING / "grafana" / f"{page.name}.json": json.dumps(
            render(page), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for page in PAGES
    }
    return {**dashboards, PANELS_PAGE: panels_page(), MONITORING / "prometheus-rule.yaml": prometheus_rule()}


def panels_page() -> str:
    """For operators: a table for each need, a row for each dashboard that has panels with it."""
    parts = [PANELS_HEAD]
    for needs in Needs:
        titles = {page.title: [panel.title for panel in panels_of(page) if panel.needs is needs] for page in PAGES}
        rows = [f"| {title} | {'; '.join(panels)} |\n" for title, panels in titles.items() if panels]
        parts.append(f"\n## {needs.value.removesuffix('.')}\n\n| dashboard | panels |\n|---|---|\n{''.join(rows)}")
    return "".join(parts)


def prometheus_rule() -> str:
    """The rules as the Prometheus operator takes them."""
    groups = [
        group
        for file in sorted((MONITORING / "rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
    ]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "headgate", "labels": {"app.kubernetes.io/part-of": "headgate"}},
        "spec": {"groups": groups},
    }
    return RULE_HEAD + yaml.safe_dump(resource, sort_keys=False, width=120)


def main(arguments: list[str]) -> int:
    if arguments == ["check"]:
        stale = [file for file, text in generated().items() if not file.exists() or file.read_text() != text]
        for file in stale:
            print(f"{file.relative_to(MONITORING.parents[1])} is not what its source says: run `make dashboards`")
        return 1 if stale else 0
    for file, text in generated().items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
