"""Confidence intervals against scipy's quantiles and against repeated samples, and the metrics of slices."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.artifacts.slices import WrongSlice, rows_in
from headgate.v1 import configuration_pb2 as configuration
from services.evaluator.metrics.binomial import exact_interval
from services.evaluator.metrics.intervals import MAX_RESAMPLED_ROWS, ONE_UNIT, RARELY_DEFINED
from services.evaluator.metrics.measure import Measured, Options, measure, rows_of
from services.evaluator.metrics.scores import Interval, Method
from tests.late import Late

stats = Late("scipy.stats")

RNG = np.random.default_rng(11)


@given(st.integers(1, 3_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_of_a_share_is_clopper_and_pearsons(counts: tuple[int, int]) -> None:
    hits, total = counts
    low, high = exact_interval(hits, total, 0.95)
    assert low == pytest.approx(stats.beta.ppf(0.025, hits, total - hits + 1) if hits else 0, abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.975, hits + 1, total - hits) if hits < total else 1, abs=1e-9)


def test_the_interval_of_a_share_of_many_rows_is_exact_too() -> None:
    low, high = exact_interval(9_999_000, 10_000_000, 0.99)
    assert low == pytest.approx(stats.beta.ppf(0.005, 9_999_000, 1_001), abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.995, 9_999_001, 1_000), abs=1e-9)


def binary(rows: int, seed: int = 5, confidence: float | None = 0.95) -> Measured:
    generator = np.random.default_rng(seed)
    scores = generator.random(rows)
    answers = (generator.random(rows) < scores).astype(np.int64)
    return measure("binary", scores, answers, Options(0.5, confidence))


def test_shares_have_the_exact_interval_and_other_metrics_a_resampled_one() -> None:
    found = binary(200).intervals
    methods = {name: interval.method for name, interval in found.items()}
    exact = dict.fromkeys(("accuracy", "recall", "precision"), Method.EXACT_BINOMIAL)
    assert methods == exact | dict.fromkeys(("f1", "auc", "log_loss"), Method.BOOTSTRAP)


def test_equal_rows_have_equal_intervals() -> None:
    assert binary(100).intervals == binary(100).intervals


@pytest.mark.parametrize("rows", [300, 3 * MAX_RESAMPLED_ROWS])
def test_resampled_intervals_are_as_wide_as_the_metric_varies_from_sample_to_sample(rows: int) -> None:
    """Also where only some of the rows are resampled."""
    values = [binary(rows, seed, None).scores.values["auc"] for seed in range(60)]
    interval = binary(rows, confidence=0.95).intervals["auc"]
    assert interval.high - interval.low == pytest.approx(4 * np.std(values), rel=0.4)
    assert interval.low < binary(rows).scores.values["auc"] < interval.high


def test_one_row_has_only_the_exact_intervals() -> None:
    found = measure("binary", np.array([0.9]), np.array([1]), Options(0.5, 0.95))
    assert found.intervals.keys() == {"accuracy", "recall", "precision"}
    assert found.without_interval["f1"] == "there is only one row, or only one group of rows that are ranked together"


RARE = np.zeros((60, 2), np.int64)
RARE[:30, 0] = RARE[0, 1] = 1


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "reasons"),
    [
        (
            "binary",
            RNG.random(60),
            RARE[:, 0],
            {"calibration_error": "a sample of rows always looks worse calibrated than the rows"},
        ),
        (
            "multilabel",
            np.where(RARE, 0.9, 0.1),
            RARE,
            dict.fromkeys(("auc", "f1", "precision", "recall"), RARELY_DEFINED),
        ),
        (
            "ranking",
            RNG.random(4),
            np.array([[1, 7], [0, 7], [1, 7], [0, 7]]),
            dict.fromkeys(("map", "ndcg"), ONE_UNIT),
        ),
    ],
)
def test_a_metric_without_an_interval_says_why(
    task: str, predictions: Any, answers: Any, reasons: dict[str, str]
) -> None:
    found = measure(task, predictions, answers, Options(0.5, 0.95))
    assert found.without_interval == reasons
    assert found.intervals.keys() | reasons.keys() == found.scores.values.keys()
    assert not found.intervals.keys() & reasons.keys()


def test_without_a_confidence_there_are_no_intervals() -> None:
    assert measure("regression", RNG.random(9), RNG.random(9), Options()).intervals == {}


@pytest.mark.parametrize(
    ("task", "predictions", "answers", "names"),
    [
        ("multiclass", RNG.normal(size=(50, 3)), RNG.integers(0, 3, 50), {"accuracy", "f1", "log_loss"}),
        ("multilabel", RNG.random((50, 2)), RNG.integers(0, 2, (50, 2)), {"accuracy", "f1", "auc", "hamming_loss"}),
        ("regression", RNG.random(50), RNG.random(50), {"mae", "mse", "r2"}),
        (
            "ranking",
            RNG.random(50),
            np.stack([np.arange(50) % 2, np.arange(50) // 5], axis=1),
            {"ndcg", "map"},
        ),
    ],
)
def test_every_task_has_intervals(task: str, predictions: object, answers: object, names: set[str]) -> None:
    found = measure(task, np.asarray(predictions), np.asarray(answers), Options(0.5, 0.95))
    assert names <= found.intervals.keys()
    for name, interval in found.intervals.items():
        assert isinstance(interval, Interval)
        assert interval.low <= found.scores.values[name] <= interval.high, name


GROUPS, ROWS_OF_GROUP = 6, 4
GAINS = RNG.integers(0, 3, GROUPS * ROWS_OF_GROUP)
GAINS[::ROWS_OF_GROUP] = 1
NUMBERS = np.repeat(np.arange(GROUPS), ROWS_OF_GROUP)
BITS = RNG.integers(0, 2, (12, 2))
SAMPLED = [
    ("binary", RNG.integers(0, 5, 12) / 4, BITS[:, 0], {"f1", "auc", "log_loss"}),
    ("binary", np.array([0.2, np.nan, 0.9, 0.7]), np.array([0, 1, 1, 0]), {"f1"}),
    ("multiclass", RNG.normal(size=(12, 3)), RNG.integers(0, 3, 12), {"f1", "recall", "precision", "log_loss"}),
    ("multilabel", RNG.integers(0, 5, (12, 2)) / 4, BITS, {"f1", "recall", "precision", "auc", "hamming_loss"}),
    ("regression", RNG.normal(size=(8, 2)), BITS[:8] * 1e9, {"mae", "mse", "r2"}),
    ("ranking", RNG.integers(0, 3, len(GAINS)) / 2, np.stack([GAINS, NUMBERS], axis=1), {"map", "ndcg"}),
]


@pytest.mark.parametrize(("task", "predictions", "answers", "names"), SAMPLED)
@given(st.integers(0, 2**32 - 1))
def test_a_metric_of_a_sample_is_that_of_the_drawn_rows(
    task: str, predictions: Any, answers: Any, names: set[str], seed: int
) -> None:
    """Also where it is undefined."""
    rows = rows_of(task, predictions, answers, 0.5)
    drawn = np.random.default_rng(seed).integers(rows.units, size=rows.units)
    with np.errstate(all="ignore"):
        sample = rows.resampled(np.bincount(drawn, minlength=rows.units).astype(np.float64))
    if task == "ranking":  # whole groups are drawn, and one that is drawn twice is two groups
        drawn = (drawn[:, np.newaxis] * ROWS_OF_GROUP + np.arange(ROWS_OF_GROUP)).ravel()
        answers = np.stack([answers[drawn, 0], NUMBERS], axis=1)
    else:
        answers = answers[drawn]
    expected = measure(task, predictions[drawn], answers, Options()).scores
    assert sample.keys() == names
    for name, value in sample.items():
        if name in expected.undefined:
            assert not np.isfinite(value), name
        else:
            assert value == pytest.approx(expected.values[name], rel=1e-9, abs=1e-12), name


def test_a_slice_is_measured_on_its_rows_alone() -> None:
    mask = np.array([True, False, True, True])
    found = measure(
        "binary", np.array([0.9, 0.1, 0.2, 0.8]), np.array([1, 0, 1, 0]), Options(0.5, None, {"some": mask})
    )
    alone = measure("binary", np.array([0.9, 0.2, 0.8]), np.array([1, 1, 0]), Options())
    assert found.slices["some"].scores == alone.scores
    assert found.slices["some"].rows == 3
    assert found.rows == 4


def test_the_metrics_of_an_empty_slice_are_undefined() -> None:
    found = measure("regression", RNG.random(3), RNG.random(3), Options(slices={"none": np.zeros(3, np.bool_)}))
    reasons = dict.fromkeys(("mae", "mse", "r2"), "no test row is in the slice")
    assert (found.slices["none"].rows, found.slices["none"].scores.undefined) == (0, reasons)


FEATURES = {"x": np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 7.0]], np.float32)}


@pytest.mark.parametrize(
    ("slice_", "expected"),
    [
        (configuration.Slice(column=0, equals=2), [False, True, False]),
        (configuration.Slice(input="x", column=0, min=2), [False, True, True]),
        (configuration.Slice(column=0, min=2, max=2.5), [False, True, False]),
        (configuration.Slice(column=1, max=9), [True, False, True]),
    ],
)
def test_the_conditions_of_a_slice_choose_its_rows(slice_: configuration.Slice, expected: list[bool]) -> None:
    assert rows_in(slice_, FEATURES).tolist() == expected


@pytest.mark.parametrize(
    ("slice_", "fault"),
    [
        (
            configuration.Slice(name="north", column=2, min=1),
            "evaluate.slices.north.column: expected a column from 0 to 1, which the rows have, got 2",
        ),
        (
            configuration.Slice(name="north", input="y", min=1),
            "evaluate.slices.north.input: expected one of the inputs x, got y",
        ),
    ],
)
def test_a_slice_of_what_the_rows_do_not_have_is_refused(slice_: configuration.Slice, fault: str) -> None:
    with pytest.raises(WrongSlice, match=fault):
        rows_in(slice_, FEATURES)
