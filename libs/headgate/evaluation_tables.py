"""Reads the tables [evaluate] and [gate] of headgate.toml: what is measured, and which values a version needs."""

import math
import re
from collections.abc import Collection
from typing import Any

from headgate.toml_tables import REQUIRED, Table, is_number, is_text
from headgate.v1 import configuration_pb2 as configuration

MAX_APPROVALS = 10
MAX_SLICES = 32
MAX_COLUMN = 2**31 - 1
DEFAULT_THRESHOLD = 0.5
"""The probability at and above which a binary answer is a yes, where the file and the record name none."""
DEFAULT_CONFIDENCE = 0.95
"""Of the confidence intervals, where the file and the record name none."""
CONFIDENCE = (0.5, 0.9999)
"""From the least to the most."""

CUSTOM = "custom"
"""The task of which nothing but the repository's own metrics is known."""
LEAKAGE = "leakage"
"""The share of test rows that stand in training too. Every task has it."""
METRICS = {
    "binary": ("accuracy", "recall", "precision", "f1", "auc", "log_loss", "calibration_error", LEAKAGE),
    "multiclass": ("accuracy", "recall", "precision", "f1", "log_loss", "calibration_error", LEAKAGE),
    "multilabel": ("accuracy", "recall", "precision", "f1", "auc", "hamming_loss", LEAKAGE),
    "regression": ("mae", "mse", "r2", LEAKAGE),
    "ranking": ("ndcg", "map", LEAKAGE),
    CUSTOM: (LEAKAGE,),
}
"""The metrics of each task."""
ALL_METRICS = tuple(dict.fromkeys(metric for metrics in METRICS.values() for metric in metrics))
SHARE = (0.0, 1.0)
RANGES = {
    **dict.fromkeys(("accuracy", "recall", "precision", "f1", "auc", "ndcg", "map"), SHARE),
    **dict.fromkeys(("calibration_error", "hamming_loss", LEAKAGE), SHARE),
    **dict.fromkeys(("log_loss", "mae", "mse"), (0.0, math.inf)),
    "r2": (-math.inf, 1.0),
}
"""The least and the largest value that a metric can have."""
WITHOUT_SLICES = {
    "ranking": "whose rows are measured in groups",
    CUSTOM: "which only the repository's own code measures",
}
"""Task -> why it has no slices."""
BINARY = "binary"
BEST = ("f1", "accuracy")
"""What a threshold may be the best for."""
DIRECTIONS = ("higher", "lower")
MAX_OWN_METRICS = 64

APPROVALS = "approvals"
SLICES = "slices"
OWN_METRICS = "own_metrics"
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def evaluate(table: Table, into: configuration.ModelConfiguration) -> bool:
    """Reads the table. False when its list of metrics is wrong, so that nobody knows which ones were meant."""
    own = _own_metrics(table.table(OWN_METRICS, optional=True), into)
    # A wrong task is one problem. The metrics of the task that was meant must not become another one.
    known = METRICS.get(into.task) or ALL_METRICS
    # Nobody's code measures an imported version of a task of its own.
    may_be_empty = bool(own) or into.task == CUSTOM
    expected = f"a list of {', '.join(known)}{', or an empty one' if may_be_empty else ''}"
    default: Any = [] if own else REQUIRED
    metrics = table.value(
        "metrics", expected, lambda value: are_metrics(value, known) or (may_be_empty and value == []), default
    )
    into.evaluate.metrics.extend([*(metrics or []), *own])
    _threshold(table, into)
    confidence = table.number("confidence", *CONFIDENCE, DEFAULT_CONFIDENCE)
    if confidence is not None:
        into.evaluate.confidence = confidence
    _slices(table.table(SLICES, optional=True), into)
    table.no_more(("metrics", "threshold", "confidence", SLICES, OWN_METRICS))
    return metrics is not None


def _own_metrics(table: Table, into: configuration.ModelConfiguration) -> list[str]:
    """The names of the metrics that the repository's own code returns."""
    if len(table.values) > MAX_OWN_METRICS:
        table.wrong("*", f"at most {MAX_OWN_METRICS} metrics", len(table.values))
        return []
    for name in table.values:
        if not NAME.fullmatch(name) or name in (*ALL_METRICS, APPROVALS, SLICES):
            table.wrong(name, "a name of letters, digits and _ that is no word of Headgate's", name)
        direction = table.choice(name, DIRECTIONS)
        into.evaluate.own_metrics.add(name=name, lower_is_better=direction == "lower")
    return list(table.values)


def _threshold(table: Table, into: configuration.ModelConfiguration) -> None:
    if not isinstance(table.values.get("threshold"), dict):
        threshold = table.number("threshold", 0, 1, DEFAULT_THRESHOLD)
        if threshold is not None:
            into.evaluate.threshold = threshold
        return
    choice = table.table("threshold")
    if into.task != BINARY:
        table.wrong("threshold", f"a number, because a threshold is chosen for the task {BINARY} alone", choice.values)
    if len(choice.values) != 1:
        table.wrong("threshold", "one of best, recall and precision", choice.values)
    if "best" in choice.values:
        into.evaluate.threshold_choice.best = choice.choice("best", BEST) or ""
    for name in ("recall", "precision"):
        if (least := choice.number(name, 0, 1, None)) is not None:
            setattr(into.evaluate.threshold_choice, name, least)
    choice.no_more(("best", "recall", "precision"))


def _slices(table: Table, into: configuration.ModelConfiguration) -> None:
    if table.values and into.task in WITHOUT_SLICES:
        reason = WITHOUT_SLICES[into.task]
        table.wrong("*", f"no slices with the task {into.task}, {reason}", list(table.values))
    if len(table.values) > MAX_SLICES:
        table.wrong("*", f"at most {MAX_SLICES} slices", len(table.values))
        return
    for name in table.values:
        if not NAME.fullmatch(name):
            table.wrong(name, "a name of letters, digits and _", name)
        _slice(table.table(name), into.evaluate.slices.add(name=name))


def _slice(table: Table, into: configuration.Slice) -> None:
    into.input = table.value("input", "the name of an input", is_text, "") or ""
    into.column = table.whole("column", 0, MAX_COLUMN) or 0
    for condition in ("equals", "min", "max"):
        if (limit := table.value(condition, "a number", is_number, None)) is not None:
            setattr(into, condition, limit)
    if "column" in table.values and set(table.values) <= {"input", "column"}:
        table.wrong("*", "equals, min or max", table.values)
    table.no_more(("input", "column", "equals", "min", "max"))


def gate(table: Table, into: configuration.ModelConfiguration, metrics_are_known: bool) -> None:
    """Reads the table. Wrong metrics are one problem already, so no rule must name one of them then."""
    into.gate.approvals = table.whole(APPROVALS, 0, MAX_APPROVALS, 0) or 0
    listed = into.evaluate.metrics if metrics_are_known else None
    _rules(table, into, "", listed)
    slices = table.table(SLICES, optional=True)
    known = [each.name for each in into.evaluate.slices]
    for name in slices.values:
        if name not in known:
            slices.wrong(name, "a slice of evaluate.slices", name)
        _rules(slices.table(name), into, name, listed)


def _rules(
    table: Table, into: configuration.ModelConfiguration, slice_name: str, listed: Collection[str] | None
) -> None:
    for metric in table.values:
        if not slice_name and metric in (APPROVALS, SLICES):
            continue
        if listed is not None and metric not in listed:
            table.wrong(metric, "a metric that evaluate.metrics lists", metric)
        elif slice_name and metric in (LEAKAGE, *(own.name for own in into.evaluate.own_metrics)):
            table.wrong(metric, "a metric that is measured on slices", metric)
        bounds = table.table(metric)
        if bounds.present and not bounds.values:
            table.wrong(metric, "min, max or max_drop", {})
        _rule(bounds, into.gate.rules.add(metric=metric, slice=slice_name))


def _rule(bounds: Table, rule: configuration.GateRule) -> None:
    for bound in ("min", "max"):
        if (limit := bounds.value(bound, "a number", is_number, None)) is not None:
            setattr(rule, bound, limit)
    _refuse_impossible(bounds, rule)
    drop = bounds.value("max_drop", "a number of at least 0", lambda v: is_number(v) and v >= 0, None)
    if drop is not None:
        rule.max_drop = drop
    rule.interval = bounds.value("interval", "true or false", lambda v: isinstance(v, bool), False) or False
    if rule.interval and not {"min", "max"} & set(bounds.values):
        bounds.wrong("interval", "min or max beside it, because it changes what they are compared with", True)
    bounds.no_more(("min", "max", "max_drop", "interval"))


def _refuse_impossible(bounds: Table, rule: configuration.GateRule) -> None:
    """A rule that no version can meet would be found out after the training only."""
    least, largest = RANGES.get(rule.metric, (-math.inf, math.inf))
    if rule.HasField("min") and rule.min > largest:
        bounds.wrong("min", f"at most {largest:g}, because {rule.metric} is never higher", rule.min)
    if rule.HasField("max") and rule.max < least:
        bounds.wrong("max", f"at least {least:g}, because {rule.metric} is never lower", rule.max)
    if rule.HasField("min") and rule.HasField("max") and rule.min > rule.max:
        bounds.wrong("min", f"at most the max, {rule.max:g}", rule.min)


def are_metrics(value: object, known: Collection[str]) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(metric, str) and metric in known for metric in value)
        and len(set(value)) == len(value)
    )
