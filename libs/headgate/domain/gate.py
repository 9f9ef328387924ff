"""The offline judgement of a version: its recorded measurements against the policy of its commit.

A metric that was not measured fails its rule; a missing baseline never does, since the first version has none.
"""

import hashlib
import math

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts

LOWER_IS_BETTER = frozenset({"log_loss", "mae", "mse"})
"""Metrics for which max_drop bounds the rise: a drop is always a loss of quality."""
ROUNDING = 1e-12
"""0.92 - 0.91 exceeds 0.01 in floating point; a drop within this distance of its bound has met it."""
DECIMALS = 4
MAX_DECIMALS = 15


def decide_gate(
    version: int,
    policy: configuration.GatePolicy,
    report: facts.EvaluationReport,
    baseline_version: int,
    baseline: facts.EvaluationReport | None,
) -> facts.GateDecided:
    """Every rule's result; the gate passes when each has passed. A policy without rules passes.

    `baseline` is the live version's report on the same rows, None when nothing was live.
    """
    values = _measured(report)
    live = _measured(baseline) if baseline is not None and baseline_version else {}
    results = [_judge(rule, values.get(rule.metric), live.get(rule.metric)) for rule in policy.rules]
    return facts.GateDecided(
        version=version,
        passed=all(result.passed for result in results),
        policy=policy,
        policy_sha256=hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest(),
        results=results,
        metrics=report.metrics,
        baseline_version=baseline_version,
        baseline_metrics=baseline.metrics if baseline is not None and baseline_version else [],
    )


def _measured(report: facts.EvaluationReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def _judge(rule: configuration.GateRule, value: float | None, live: float | None) -> facts.RuleResult:
    live = live if live is not None and math.isfinite(live) else None
    if value is None or not math.isfinite(value):
        fault = "was not measured" if value is None else "is not a finite number"
        return facts.RuleResult(rule=rule, baseline=live, passed=False, explanation=f"{rule.metric} {fault}")
    misses = [miss for miss in (_below(rule, value), _above(rule, value), _dropped(rule, value, live)) if miss]
    return facts.RuleResult(
        rule=rule,
        value=value,
        baseline=live,
        passed=not misses,
        missed_by=max((distance for distance, _ in misses), default=0.0),
        explanation="; ".join(sentence for _, sentence in misses) or _met(rule, value, live),
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
        sentence += "; there is no live version's value to compare with"
    return sentence


def _shown(distance: float, *values: float) -> tuple[str, ...]:
    """The numbers of one sentence, with as many decimals as it takes to see the distance."""
    decimals = DECIMALS
    while 0 < abs(distance) < 0.5 * 10.0**-decimals and decimals < MAX_DECIMALS:
        decimals += 1
    return tuple(f"{number:.{decimals}f}" for number in (distance, *values))
