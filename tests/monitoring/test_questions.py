"""Dashboards and rules query exactly the metrics of the catalogue."""

import re

import pytest

from headgate.runtime.observability.metric_catalogue import CATALOGUE
from tests.monitoring.questions import (
    TARGET_LABELS,
    Question,
    all_questions,
    groupings_in,
    known_series,
    metrics_in,
    selectors_in,
)

QUESTIONS = all_questions()
UNASKED: dict[str, str] = {
    "headgate_edge_link_up": "on a device, which a Prometheus beside the services seldom reaches",
    "headgate_edge_totals_unreported": "the same",
    "headgate_edge_totals_dropped_total": "the same",
}
"""Metrics that no panel and no rule queries -> why they are kept."""


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_query_names_only_existing_metrics_and_labels(question: Question) -> None:
    known = known_series()
    unknown = metrics_in(question.expr) - known.keys()
    assert unknown == set()
    for name, labels in selectors_in(question.expr):
        assert labels <= known[name] | TARGET_LABELS, name
    there = set().union(*(known[name] for name in metrics_in(question.expr)))
    assert groupings_in(question.expr) <= there | TARGET_LABELS


def test_a_query_with_an_unknown_metric_or_label_is_found() -> None:
    expr = 'sum by (colour) (rate(headgate_facts_totl{job="headgate"}[5m])) / headgate_facts_total{kind="x"}'
    known = known_series()
    assert metrics_in(expr) - known.keys() == {"headgate_facts_totl"}
    assert ("headgate_facts_total", {"kind"}) in selectors_in(expr)
    assert "kind" not in known["headgate_facts_total"]
    assert groupings_in(expr) == {"colour"}


def test_every_metric_is_queried() -> None:
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for q in QUESTIONS for name in metrics_in(q.expr)}
    asked |= {name for q in QUESTIONS for name in metrics_in(q.expr)}
    assert {metric.name for metric in CATALOGUE} - asked == set(UNASKED)
