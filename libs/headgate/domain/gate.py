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

LOWER_IS_BETTER = frozenset({"hamming_loss", "log_loss", "mae", "mse"})
"""Metrics whose rise is a loss of quality. For these, max_drop limits the rise."""
ROUNDING = 1e-12
"""A drop may exceed its bound by this much, because in floating point 0.92 - 0.91 is more than 0.01."""
DECIMALS = 4
MAX_DECIMALS = 15


@dataclass(frozen=True, slots=True)
class Baseline:
    """The live version, measured on the same rows.

    `version` is 0 when no version is live. `failure` gives the reason when the live version has no values, `undefined`
    the reason for each metric without one.
    """

    version: int
    values: Mapping[str, float]
    undefined: Mapping[str, str]
    failure: str

    def value(self, metric: str) -> float | None:
        """The value of a metric; None when it is missing or not a finite number."""
        value = self.values.get(metric, math.nan)
        return value if math.isfinite(value) else None


def decide_gate(version: resources.Version) -> facts.GateDecided:
    """The result of every rule for an evaluated version. The gate passes when no rule fails."""
    policy, live = version.configuration.gate, _baseline_of(version)
    values, undefined = _measured(version.report), _undefined(version.report)
    results = [_judge(rule, values.get(rule.metric), undefined.get(rule.metric, ""), live) for rule in policy.rules]
    return facts.GateDecided(
        version=version.version,
        passed=all(result.passed for result in results),
        policy=policy,
        policy_sha256=hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest(),
        results=results,
        metrics=version.report.metrics,
        baseline_version=live.version,
        baseline_metrics=version.baseline_report.metrics if live.version else [],
        baseline_failure=live.failure,
        signature_change=version.signature_change,
    )


def _baseline_of(version: resources.Version) -> Baseline:
    if not version.baseline_version:
        return Baseline(0, {}, {}, "")
    report = version.baseline_report
    return Baseline(version.baseline_version, _measured(report), _undefined(report), version.baseline_failure)


def _measured(report: facts.EvaluationReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def _undefined(report: facts.EvaluationReport) -> dict[str, str]:
    return {metric.name: metric.reason for metric in report.undefined}


def _judge(rule: configuration.GateRule, value: float | None, undefined: str, live: Baseline) -> facts.RuleResult:
    live_value = live.value(rule.metric)
    if value is None or not math.isfinite(value):
        missing = f"is undefined: {undefined}" if undefined else "was not measured"
        fault = missing if value is None else "is not a finite number"
        return facts.RuleResult(rule=rule, baseline=live_value, passed=False, explanation=f"{rule.metric} {fault}")
    found = (_below(rule, value), _above(rule, value), _dropped(rule, value, live_value), _not_compared(rule, live))
    misses = [miss for miss in found if miss]
    return facts.RuleResult(
        rule=rule,
        value=value,
        baseline=live_value,
        passed=not misses,
        missed_by=max((distance for distance, _ in misses), default=0.0),
        explanation="; ".join(sentence for _, sentence in misses) or _met(rule, value, live_value),
    )


# Each comparison checks that the bound is met, so a bound that is NaN is never met.


def _below(rule: configuration.GateRule, value: float) -> tuple[float, str] | None:
    if not rule.HasField("min") or value >= rule.min:
        return None
    distance = rule.min - value
    shown = _shown(distance, value, rule.min)
    return distance, f"{rule.metric} {shown[1]} is below the minimum {shown[2]} by {shown[0]}"


def _above(rule: configuration.GateRule, value: float) -> tuple[float, str] | None:
    if not rule.HasField("max") or value <= rule.max:
        return None
    distance = value - rule.max
    shown = _shown(distance, value, rule.max)
    return distance, f"{rule.metric} {shown[1]} is above the maximum {shown[2]} by {shown[0]}"


def _dropped(rule: configuration.GateRule, value: float, live: float | None) -> tuple[float, str] | None:
    if not rule.HasField("max_drop") or live is None:
        return None
    drop = _drop(rule.metric, value, live)
    if drop <= rule.max_drop + ROUNDING:
        return None
    distance = drop - rule.max_drop
    shown = _shown(distance, value, drop, live, rule.max_drop)
    sentence = (
        f"{rule.metric} {shown[1]} is worse by {shown[2]} than the live version's {shown[3]}, "
        f"more than the allowed {shown[4]} by {shown[0]}"
    )
    return distance, sentence


def _not_compared(rule: configuration.GateRule, live: Baseline) -> tuple[float, str] | None:
    """The miss of a max_drop rule when the live version has no value to compare with."""
    if not rule.HasField("max_drop") or not live.version or live.value(rule.metric) is not None:
        return None
    undefined = live.undefined.get(rule.metric)
    no_value = f"its {rule.metric} is undefined: {undefined}" if undefined else f"it has no {rule.metric} on these rows"
    reason = live.failure or no_value
    return 0.0, f"{rule.metric} cannot be compared with version {live.version}, which is live: {reason}"


def _drop(metric: str, value: float, live: float) -> float:
    return value - live if metric in LOWER_IS_BETTER else live - value


def _met(rule: configuration.GateRule, value: float, live: float | None) -> str:
    shown = _shown(0.0, value)[1]
    bounds = []
    if rule.HasField("min"):
        bounds.append(f"the minimum {_shown(0.0, rule.min)[1]}")
    if rule.HasField("max"):
        bounds.append(f"the maximum {_shown(0.0, rule.max)[1]}")
    if rule.HasField("max_drop") and live is not None:
        bounds.append(f"the allowed drop {_shown(0.0, rule.max_drop)[1]} from the live version's {live:.{DECIMALS}f}")
    sentence = f"{rule.metric} {shown} meets {' and '.join(bounds)}" if bounds else f"{rule.metric} is {shown}"
    if rule.HasField("max_drop") and live is None:
        sentence += "; no version is live to compare with"
    return sentence


def _shown(distance: float, *values: float) -> tuple[str, ...]:
    """The numbers of one sentence, with enough decimals to show the distance."""
    decimals = DECIMALS
    while 0 < abs(distance) < 0.5 * 10.0**-decimals and decimals < MAX_DECIMALS:
        decimals += 1
    return tuple(f"{number:.{decimals}f}" for number in (distance, *values))
