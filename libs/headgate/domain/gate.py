"""The offline judgement of a version: its recorded measurements against the policy of its commit.

A rule whose numbers are missing fails: a metric that was not measured, and a max_drop whose live version has no value.
Only the first version, beside which nothing is live, has nothing to drop from.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

LOWER_IS_BETTER = frozenset({"log_loss", "mae", "mse"})
"""Metrics for which max_drop bounds the rise: a drop is always a loss of quality."""
ROUNDING = 1e-12
"""0.92 - 0.91 exceeds 0.01 in floating point; a drop within this distance of its bound has met it."""
DECIMALS = 4
MAX_DECIMALS = 15


@dataclass(frozen=True, slots=True)
class Baseline:
    """The live version on the same rows. `version` is 0 when none is live; `failure` says why it has no values."""

    version: int
    values: Mapping[str, float]
    failure: str

    def value(self, metric: str) -> float | None:
        """None when it cannot be compared with: it is missing or no finite number."""
        value = self.values.get(metric, math.nan)
        return value if math.isfinite(value) else None


def decide_gate(version: resources.Version) -> facts.GateDecided:
    """Every rule's result on an evaluated version; the gate passes when each has passed. Without rules it passes."""
    policy, live = version.configuration.gate, _baseline_of(version)
    values = _measured(version.report)
    results = [_judge(rule, values.get(rule.metric), live) for rule in policy.rules]
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
        return Baseline(0, {}, "")
    return Baseline(version.baseline_version, _measured(version.baseline_report), version.baseline_failure)


def _measured(report: facts.EvaluationReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def _judge(rule: configuration.GateRule, value: float | None, live: Baseline) -> facts.RuleResult:
    beside = live.value(rule.metric)
    if value is None or not math.isfinite(value):
        fault = "was not measured" if value is None else "is not a finite number"
        return facts.RuleResult(rule=rule, baseline=beside, passed=False, explanation=f"{rule.metric} {fault}")
    found = (_below(rule, value), _above(rule, value), _dropped(rule, value, beside), _not_compared(rule, live))
    misses = [miss for miss in found if miss]
    return facts.RuleResult(
        rule=rule,
        value=value,
        baseline=beside,
        passed=not misses,
        missed_by=max((distance for distance, _ in misses), default=0.0),
        explanation="; ".join(sentence for _, sentence in misses) or _met(rule, value, beside),
    )


# A bound that is not a number is never met: each comparison asks whether the bound holds.


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
    """A comparison that the rule asks for and that nobody can make."""
    if not rule.HasField("max_drop") or not live.version or live.value(rule.metric) is not None:
        return None
    reason = live.failure or f"it has no {rule.metric} on these rows"
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
    """The numbers of one sentence, with as many decimals as it takes to see the distance."""
    decimals = DECIMALS
    while 0 < abs(distance) < 0.5 * 10.0**-decimals and decimals < MAX_DECIMALS:
        decimals += 1
    return tuple(f"{number:.{decimals}f}" for number in (distance, *values))
