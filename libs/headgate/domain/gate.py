"""Decides the gate of a version: its recorded measurements against the policy of its commit.

A rule fails when its numbers are missing: the metric was not measured, or is undefined on these rows, or the live
version has no value for max_drop. While no version is live, max_drop is ignored.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

LOWER_IS_BETTER = frozenset({"calibration_error", "hamming_loss", "leakage", "log_loss", "mae", "mse"})
"""Of Headgate's metrics."""
ROUNDING = 1e-12
"""A drop may exceed its bound by this much, because in floating point 0.92 - 0.91 is more than 0.01."""
DECIMALS = 4
MAX_DECIMALS = 15


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics on all rows or on a slice of them: the defined ones, and the reasons of the undefined ones."""

    metrics: Mapping[str, facts.Metric]
    undefined: Mapping[str, str]

    def value(self, metric: str) -> float | None:
        """None when the metric is missing or not a finite number."""
        value = self.metrics[metric].value if metric in self.metrics else math.nan
        return value if math.isfinite(value) else None


NOTHING = Measured({}, {})


@dataclass(frozen=True, slots=True)
class Baseline:
    """The live version, measured on the same rows.

    `version` is 0 when no version is live. `failure` gives the reason when the live version has no values.
    """

    version: int
    measured: Measured
    failure: str


def decide_gate(version: resources.Version) -> facts.GateDecided:
    """The result of every rule for an evaluated version. The gate passes when no rule fails."""
    policy, lower = version.configuration.gate, lower_is_better(version.configuration.evaluate)
    results = [
        _judge(rule, _measured(version.report, rule.slice), _baseline_of(version, rule.slice), rule.metric in lower)
        for rule in policy.rules
    ]
    return facts.GateDecided(
        version=version.version,
        passed=all(result.passed for result in results),
        policy=policy,
        policy_sha256=hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest(),
        results=results,
        metrics=version.report.metrics,
        baseline_version=version.baseline_version,
        baseline_metrics=version.baseline_report.metrics if version.baseline_version else [],
        baseline_failure=version.baseline_failure if version.baseline_version else "",
        signature_change=version.signature_change,
    )


def lower_is_better(evaluate: configuration.EvaluateConfiguration) -> frozenset[str]:
    """Metrics whose rise is a loss of quality. For these, max_drop limits the rise."""
    return LOWER_IS_BETTER | {own.name for own in evaluate.own_metrics if own.lower_is_better}


def _baseline_of(version: resources.Version, slice_name: str) -> Baseline:
    if not version.baseline_version:
        return Baseline(0, NOTHING, "")
    return Baseline(version.baseline_version, _measured(version.baseline_report, slice_name), version.baseline_failure)


def _measured(report: facts.EvaluationReport, slice_name: str) -> Measured:
    found: facts.EvaluationReport | facts.SliceReport | None = report
    if slice_name:
        found = next((each for each in report.slices if each.slice == slice_name), None)
    if found is None:
        return NOTHING
    return Measured(
        {metric.name: metric for metric in found.metrics}, {metric.name: metric.reason for metric in found.undefined}
    )


def _judge(rule: configuration.GateRule, found: Measured, live: Baseline, lower: bool) -> facts.RuleResult:
    value, live_value = found.value(rule.metric), live.measured.value(rule.metric)
    if value is None:
        fault = f"{name_of(rule)} {_why_missing(rule, found)}"
        return facts.RuleResult(rule=rule, baseline=live_value, passed=False, explanation=fault)
    metric = found.metrics[rule.metric]
    dropped = _dropped(rule, value, live_value, lower)
    checks = (_below(rule, metric), _above(rule, metric), dropped, _not_compared(rule, live))
    misses = [miss for miss in checks if miss]
    return facts.RuleResult(
        rule=rule,
        value=value,
        baseline=live_value,
        passed=not misses,
        missed_by=max((distance for distance, _ in misses), default=0.0),
        explanation="; ".join(sentence for _, sentence in misses) or _met(rule, metric, live_value),
    )


def name_of(rule: configuration.GateRule) -> str:
    """What the rule is about: "recall", or "recall in the slice north"."""
    return f"{rule.metric} in the slice {rule.slice}" if rule.slice else rule.metric


def _why_missing(rule: configuration.GateRule, found: Measured) -> str:
    if rule.metric in found.metrics:
        return "is not a finite number"
    undefined = found.undefined.get(rule.metric)
    return f"is undefined: {undefined}" if undefined else "was not measured"


# Each comparison checks that the bound is met, so a bound that is NaN is never met.


def _below(rule: configuration.GateRule, metric: facts.Metric) -> tuple[float, str] | None:
    if not rule.HasField("min"):
        return None
    if rule.interval and not metric.HasField("interval"):
        return 0.0, _no_interval(rule, metric)
    value = metric.interval.low if rule.interval else metric.value
    if value >= rule.min:
        return None
    distance = rule.min - value
    shown = _shown(distance, value, rule.min)
    found = f"{_lead(rule, metric, 'lower')} {shown[1]}"
    return distance, f"{found} is below the minimum {shown[2]} by {shown[0]}"


def _above(rule: configuration.GateRule, metric: facts.Metric) -> tuple[float, str] | None:
    if not rule.HasField("max"):
        return None
    if rule.interval and not metric.HasField("interval"):
        return 0.0, _no_interval(rule, metric)
    value = metric.interval.high if rule.interval else metric.value
    if value <= rule.max:
        return None
    distance = value - rule.max
    shown = _shown(distance, value, rule.max)
    found = f"{_lead(rule, metric, 'upper')} {shown[1]}"
    return distance, f"{found} is above the maximum {shown[2]} by {shown[0]}"


def _lead(rule: configuration.GateRule, metric: facts.Metric, end: str) -> str:
    """The words before the number that a bound is compared with."""
    if not rule.interval:
        return name_of(rule)
    value, share = _shown(0.0, metric.value)[1], f"{100 * metric.interval.confidence:g} %"
    return f"{name_of(rule)} is {value}, and the {end} end of its {share} interval"


def _no_interval(rule: configuration.GateRule, metric: facts.Metric) -> str:
    reason = f": {metric.no_interval}" if metric.no_interval else ""
    return f"{name_of(rule)} has no confidence interval on these rows{reason}"


def _dropped(rule: configuration.GateRule, value: float, live: float | None, lower: bool) -> tuple[float, str] | None:
    if not rule.HasField("max_drop") or live is None:
        return None
    drop = value - live if lower else live - value
    if drop <= rule.max_drop + ROUNDING:
        return None
    distance = drop - rule.max_drop
    shown = _shown(distance, value, drop, live, rule.max_drop)
    sentence = (
        f"{name_of(rule)} {shown[1]} is worse by {shown[2]} than the live version's {shown[3]}, "
        f"more than the allowed {shown[4]} by {shown[0]}"
    )
    return distance, sentence


def _not_compared(rule: configuration.GateRule, live: Baseline) -> tuple[float, str] | None:
    """The miss of a max_drop rule when the live version has no value to compare with."""
    if not rule.HasField("max_drop") or not live.version or live.measured.value(rule.metric) is not None:
        return None
    undefined = live.measured.undefined.get(rule.metric)
    no_value = f"its {rule.metric} is undefined: {undefined}" if undefined else f"it has no {rule.metric} on these rows"
    reason = live.failure or no_value
    return 0.0, f"{name_of(rule)} cannot be compared with version {live.version}, which is live: {reason}"


def _met(rule: configuration.GateRule, metric: facts.Metric, live: float | None) -> str:
    shown = _shown(0.0, metric.value)[1]
    if rule.interval:
        low, high = _shown(0.0, metric.interval.low, metric.interval.high)[1:]
        shown += f", with the {100 * metric.interval.confidence:g} % interval {low} to {high},"
    bounds = []
    if rule.HasField("min"):
        bounds.append(f"the minimum {_shown(0.0, rule.min)[1]}")
    if rule.HasField("max"):
        bounds.append(f"the maximum {_shown(0.0, rule.max)[1]}")
    if rule.HasField("max_drop") and live is not None:
        bounds.append(f"the allowed drop {_shown(0.0, rule.max_drop)[1]} from the live version's {live:.{DECIMALS}f}")
    name = name_of(rule)
    sentence = f"{name} {shown} meets {' and '.join(bounds)}" if bounds else f"{name} is {shown}"
    if rule.HasField("max_drop") and live is None:
        sentence += "; no version is live to compare with"
    return sentence


def _shown(distance: float, *values: float) -> tuple[str, ...]:
    """The numbers of one sentence, with enough decimals to show the distance."""
    decimals = DECIMALS
    while 0 < abs(distance) < 0.5 * 10.0**-decimals and decimals < MAX_DECIMALS:
        decimals += 1
    return tuple(f"{number:.{decimals}f}" for number in (distance, *values))
