"""The gate: what passes, what fails, by how much, and how this is explained."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.gate import decide_gate
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

finite = st.floats(min_value=-1e6, max_value=1e6)


def report(**metrics: float) -> facts.EvaluationReport:
    return facts.EvaluationReport(
        rows=10, metrics=[facts.Metric(name=name, value=value) for name, value in metrics.items()]
    )


def evaluated(
    policy: configuration.GatePolicy,
    measured: facts.EvaluationReport,
    live_version: int = 0,
    live: facts.EvaluationReport | None = None,
    failure: str = "",
) -> resources.Version:
    """A version with its report and that of the live version."""
    return resources.Version(
        version=3,
        configuration=configuration.ModelConfiguration(gate=policy),
        report=measured,
        baseline_version=live_version,
        baseline_report=live,
        baseline_failure=failure,
    )


def gate(
    rule: configuration.GateRule,
    measured: facts.EvaluationReport,
    live_version: int = 0,
    live: facts.EvaluationReport | None = None,
    failure: str = "",
) -> facts.RuleResult:
    policy = configuration.GatePolicy(rules=[rule])
    decided = decide_gate(evaluated(policy, measured, live_version, live, failure))
    (result,) = decided.results
    assert decided.passed == result.passed
    return result


def test_a_value_below_the_minimum_fails_with_its_distance() -> None:
    result = gate(configuration.GateRule(metric="accuracy", min=0.93), report(accuracy=0.9123))
    assert not result.passed
    assert result.value == 0.9123
    assert result.missed_by == pytest.approx(0.0177)
    assert result.explanation == "accuracy 0.9123 is below the minimum 0.9300 by 0.0177"


def test_a_value_above_the_maximum_fails_with_its_distance() -> None:
    result = gate(configuration.GateRule(metric="mse", max=2), report(mse=2.5))
    assert result.explanation == "mse 2.5000 is above the maximum 2.0000 by 0.5000"
    assert result.missed_by == 0.5


def test_a_value_at_its_bounds_passes() -> None:
    result = gate(configuration.GateRule(metric="f1", min=0.5, max=0.5), report(f1=0.5))
    assert result.passed
    assert result.missed_by == 0
    assert result.explanation == "f1 0.5000 meets the minimum 0.5000 and the maximum 0.5000"


def test_a_narrow_miss_is_shown_with_enough_decimals() -> None:
    result = gate(configuration.GateRule(metric="auc", min=0.97), report(auc=0.969999))
    assert result.explanation == "auc 0.969999 is below the minimum 0.970000 by 0.000001"


def test_a_metric_that_was_not_measured_fails() -> None:
    result = gate(configuration.GateRule(metric="recall", min=0.0), report(accuracy=1.0))
    assert not result.passed
    assert not result.HasField("value")
    assert result.explanation == "recall was not measured"


def test_an_undefined_metric_fails_with_its_reason() -> None:
    measured = report(accuracy=1.0)
    measured.undefined.add(name="recall", reason="no row is positive")
    result = gate(configuration.GateRule(metric="recall", min=0.5), measured)
    assert not result.passed
    assert not result.HasField("value")
    assert result.explanation == "recall is undefined: no row is positive"


def test_a_drop_from_an_undefined_metric_of_the_live_version_fails_with_its_reason() -> None:
    live = report(accuracy=1.0)
    live.undefined.add(name="precision", reason="no row was predicted positive")
    result = gate(configuration.GateRule(metric="precision", max_drop=0.1), report(precision=0.5), 2, live)
    assert not result.passed
    assert result.explanation == (
        "precision cannot be compared with version 2, which is live: "
        "its precision is undefined: no row was predicted positive"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_a_finite_number_fails(value: float) -> None:
    result = gate(configuration.GateRule(metric="auc", max=9e9), report(auc=value))
    assert not result.passed
    assert not result.HasField("value")
    assert result.explanation == "auc is not a finite number"


def test_a_larger_drop_than_allowed_against_the_live_version_fails() -> None:
    result = gate(configuration.GateRule(metric="recall", max_drop=0.01), report(recall=0.90), 2, report(recall=0.95))
    assert not result.passed
    assert result.baseline == 0.95
    assert result.missed_by == pytest.approx(0.04)
    assert result.explanation == (
        "recall 0.9000 is worse by 0.0500 than the live version's 0.9500, more than the allowed 0.0100 by 0.0400"
    )


def test_a_drop_of_exactly_the_allowed_size_passes_in_spite_of_rounding() -> None:
    assert 0.92 - 0.91 > 0.01
    assert gate(
        configuration.GateRule(metric="recall", max_drop=0.01), report(recall=0.91), 2, report(recall=0.92)
    ).passed


def test_a_rise_of_a_loss_counts_as_a_drop_in_quality() -> None:
    rule = configuration.GateRule(metric="log_loss", max_drop=0.1)
    assert gate(rule, report(log_loss=0.2), 2, report(log_loss=0.9)).passed
    assert not gate(rule, report(log_loss=0.9), 2, report(log_loss=0.2)).passed


def test_a_rule_for_a_drop_passes_without_a_live_version_and_explains_it() -> None:
    result = gate(configuration.GateRule(metric="recall", min=0.5, max_drop=0.01), report(recall=0.6))
    assert result.passed
    assert not result.HasField("baseline")
    assert result.explanation == ("recall 0.6000 meets the minimum 0.5000; no version is live to compare with")


@pytest.mark.parametrize("live", [None, report(), report(recall=math.nan), report(recall=math.inf)])
def test_a_rule_for_a_drop_fails_when_the_live_version_has_no_value(live: facts.EvaluationReport | None) -> None:
    result = gate(configuration.GateRule(metric="recall", min=0.0, max_drop=1.0), report(recall=0.1), 2, live)
    assert not result.passed
    assert (result.value, result.HasField("baseline"), result.missed_by) == (0.1, False, 0.0)
    expected = "recall cannot be compared with version 2, which is live: it has no recall on these rows"
    assert result.explanation == expected


def test_a_rule_for_a_drop_fails_with_the_reason_when_the_live_version_could_not_be_measured() -> None:
    rule = configuration.GateRule(metric="recall", max_drop=1.0)
    result = gate(rule, report(recall=0.1), 2, None, "it takes 3 columns")
    assert not result.passed
    assert result.explanation == "recall cannot be compared with version 2, which is live: it takes 3 columns"


def test_a_rule_without_a_drop_does_not_need_the_live_version() -> None:
    assert gate(configuration.GateRule(metric="recall", min=0.0), report(recall=0.1), 2, None, "no idea").passed


def test_the_distance_is_that_of_the_worst_bound_and_every_missed_bound_is_explained() -> None:
    rule = configuration.GateRule(metric="recall", min=0.8, max_drop=0.01)
    result = gate(rule, report(recall=0.7), 2, report(recall=0.95))
    assert result.missed_by == pytest.approx(0.24)
    assert result.explanation.count("; ") == 1


def test_one_failed_rule_fails_the_gate() -> None:
    policy = configuration.GatePolicy(
        rules=[configuration.GateRule(metric="a", min=0), configuration.GateRule(metric="b", min=1)]
    )
    decided = decide_gate(evaluated(policy, report(a=1, b=0)))
    assert [result.passed for result in decided.results] == [True, False]
    assert not decided.passed


def test_a_policy_without_rules_passes() -> None:
    assert decide_gate(evaluated(configuration.GatePolicy(), report())).passed


def test_the_verdict_records_its_inputs() -> None:
    policy = configuration.GatePolicy(rules=[configuration.GateRule(metric="a", min=0)], approvals=2)
    version = evaluated(policy, report(a=1, z=5), 2, report(a=2), "partly")
    version.signature_change = "one column more"
    decided = decide_gate(version)
    assert (decided.version, decided.baseline_version, decided.baseline_failure) == (3, 2, "partly")
    assert decided.signature_change == "one column more"
    assert decided.policy == policy
    assert decided.policy_sha256 == hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest()
    assert list(decided.metrics) == [facts.Metric(name="a", value=1), facts.Metric(name="z", value=5)]
    assert list(decided.baseline_metrics) == [facts.Metric(name="a", value=2)]


def test_a_baseline_report_without_a_version_is_ignored() -> None:
    decided = decide_gate(evaluated(configuration.GatePolicy(), report(), 0, report(a=2)))
    assert not decided.baseline_metrics


@given(value=finite, low=finite, high=finite, live=finite, drop=st.floats(min_value=0, max_value=1e6))
def test_a_rule_passes_exactly_when_no_bound_is_missed(
    value: float, low: float, high: float, live: float, drop: float
) -> None:
    rule = configuration.GateRule(metric="a", min=low, max=high, max_drop=drop)
    result = gate(rule, report(a=value), 1, report(a=live))
    worst = max(low - value, value - high, live - value - drop)
    if abs(worst) > 1e-9:
        assert result.passed == (worst < 0)
        assert result.missed_by == pytest.approx(max(worst, 0.0), abs=1e-9)


def with_interval(low: float, value: float, high: float) -> facts.EvaluationReport:
    measured = facts.EvaluationReport(rows=10)
    interval = facts.Interval(low=low, high=high, confidence=0.95)
    measured.metrics.add(name="accuracy", value=value, interval=interval)
    return measured


@pytest.mark.parametrize(
    ("rule", "missed_by", "explanation"),
    [
        (
            configuration.GateRule(metric="accuracy", min=0.9, interval=True),
            0.05,
            "accuracy is 0.9500, and the lower end of its 95 % interval 0.8500 is below the minimum 0.9000 by 0.0500",
        ),
        (
            configuration.GateRule(metric="accuracy", max=0.96, interval=True),
            0.03,
            "accuracy is 0.9500, and the upper end of its 95 % interval 0.9900 is above the maximum 0.9600 by 0.0300",
        ),
        (
            configuration.GateRule(metric="accuracy", min=0.8, interval=True),
            0,
            "accuracy 0.9500, with the 95 % interval 0.8500 to 0.9900, meets the minimum 0.8000",
        ),
        (configuration.GateRule(metric="accuracy", min=0.9), 0, "accuracy 0.9500 meets the minimum 0.9000"),
    ],
)
def test_a_rule_may_ask_for_the_end_of_the_interval(
    rule: configuration.GateRule, missed_by: float, explanation: str
) -> None:
    result = gate(rule, with_interval(0.85, 0.95, 0.99))
    assert result.passed == (missed_by == 0)
    assert result.missed_by == pytest.approx(missed_by)
    assert result.explanation == explanation


def test_a_rule_about_the_interval_of_a_metric_without_one_fails() -> None:
    result = gate(configuration.GateRule(metric="accuracy", min=0.1, interval=True), report(accuracy=0.9))
    assert not result.passed
    assert result.explanation == "accuracy has no confidence interval on these rows"
    why = report()
    why.metrics.add(name="accuracy", value=0.9, no_interval="there is only one row")
    result = gate(configuration.GateRule(metric="accuracy", min=0.1, interval=True), why)
    assert result.explanation == "accuracy has no confidence interval on these rows: there is only one row"


def test_a_rule_about_a_slice_takes_its_metrics_from_the_slice() -> None:
    measured, live = report(accuracy=1.0), report(accuracy=1.0)
    for each, value in ((measured, 0.7), (live, 0.9)):
        each.slices.add(slice="north", rows=4).metrics.add(name="accuracy", value=value)
    result = gate(configuration.GateRule(metric="accuracy", slice="north", min=0.8), measured)
    assert result.explanation == "accuracy in the slice north 0.7000 is below the minimum 0.8000 by 0.1000"
    result = gate(configuration.GateRule(metric="accuracy", slice="north", max_drop=0.1), measured, 2, live)
    assert not result.passed
    assert "accuracy in the slice north 0.7000 is worse by 0.2000" in result.explanation
    result = gate(configuration.GateRule(metric="accuracy", slice="south", min=0.8), measured)
    assert result.explanation == "accuracy in the slice south was not measured"


def test_the_repository_says_whether_the_rise_of_its_own_metric_is_a_loss() -> None:
    rules = [configuration.GateRule(metric=name, max_drop=1) for name in ("cost", "profit")]
    version = evaluated(
        configuration.GatePolicy(rules=rules), report(cost=5.0, profit=5.0), 2, report(cost=3.0, profit=3.0)
    )
    version.configuration.evaluate.own_metrics.add(name="cost", lower_is_better=True)
    version.configuration.evaluate.own_metrics.add(name="profit")
    assert [result.passed for result in decide_gate(version).results] == [False, True]
