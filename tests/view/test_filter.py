"""Filters: what they match, and the errors for invalid ones."""

import operator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from headgate.view.filter import MAX_COMPARISONS, MAX_FILTER, BadQuery, parse

VERSION = resources.Version(
    name="models/fraud/versions/3",
    version=3,
    label="awaiting approval",
    build=resources.BUILD_STATE_EVALUATED,
    verdict=resources.VERDICT_STATE_AWAITING_APPROVAL,
    retention=resources.RETENTION_STATE_KEPT,
    commit="ab" * 20,
    tags={"team": "risk", "note": 'a "quoted" word*'},
    report=facts.EvaluationReport(
        metrics=[facts.Metric(name="accuracy", value=0.9), facts.Metric(name="auc", value=float("nan"))]
    ),
    create_time_ms=1_767_225_600_000,  # 2026-01-01
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "model = fraud",
        'name = "models/fraud/*"',
        "label = awaiting_approval",
        'label = "awaiting approval"',
        "build = evaluated AND verdict != failed",
        "tags.team = risk",
        "tags.team:*",
        "NOT tags.owner:*",
        'tags.note = "a \\"quoted\\" word\\*"',
        'tags.note = "a *"',
        "metrics.accuracy >= 0.9 AND metrics.accuracy < 9.1e-1",
        "NOT metrics.auc:*",
        "quarantined = false",
        'create_time >= "2026-01-01T00:00:00Z" AND create_time < "2026-01-01T01:00:00+00:00"',
        "create_time <= 1767225600000",
        "create_time >= 2026-01-01T00:00:00Z AND create_time < 2026-01-01T01:00:00.5+00:00",
        "create_time >= 2026-01-01",
        "commit=abab*",
    ],
)
def test_a_filter_matches_a_version_with_these_values(text: str) -> None:
    assert parse(Kind.VERSION, text).matches(VERSION)


@pytest.mark.parametrize(
    "text",
    [
        "model = fraud-eu",
        "NOT model = fraud",
        "tags.team != risk",
        "tags.owner = x",
        "tags.owner != x",  # a comparison with a missing value is false
        "metrics.recall < 1",
        "metrics.auc <= 1",
        "metrics.auc != 1",
        "metrics.accuracy > 0.9",
        "model = fraud AND version = 4",
        "tags.note = word*",
    ],
)
def test_a_filter_does_not_match_a_version_with_other_values(text: str) -> None:
    assert not parse(Kind.VERSION, text).matches(VERSION)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("modell = fraud", 1, "a field: name, model"),
        ("tags = risk", 1, "tags.KEY"),
        ("model", 6, "an operator of model: = != :"),
        ("model > fraud", 7, "an operator of model: = != :"),
        ("version ~ 3", 9, "unexpected"),
        ("version = three", 11, "a number"),
        ("version = nan", 11, "a number"),
        ("build = traned", 9, "one of created, testing"),
        ("quarantined = yes", 15, "true or false"),
        ("create_time > soon", 15, "RFC 3339"),
        ("tags.team:risk", 11, "whether the field exists"),
        ("version =", 10, "a value"),
        ("version = 1 version = 2", 13, "AND or the end"),
        ("version = 1 OR version = 2", 13, "AND or the end"),
        ("version = 1 AND", 16, "a field"),
        ("NOT", 4, "a field"),
        ('model = "fraud', 9, "an open quote, expected another one"),
    ],
)
def test_an_invalid_filter_is_refused_with_the_position_and_what_was_expected(
    text: str, position: int, expected: str
) -> None:
    with pytest.raises(BadQuery) as caught:
        parse(Kind.VERSION, text)
    assert f"filter at character {position}:" in str(caught.value)
    assert expected in str(caught.value)
    assert caught.value.field == "filter"


def test_a_filter_has_limits_for_its_length_and_its_comparisons() -> None:
    with pytest.raises(BadQuery, match=f"at most {MAX_FILTER}"):
        parse(Kind.MODEL, "x" * (MAX_FILTER + 1))
    parse(Kind.VERSION, " AND ".join(["version=1"] * MAX_COMPARISONS))
    with pytest.raises(BadQuery, match=f"too many comparisons: at most {MAX_COMPARISONS}"):
        parse(Kind.VERSION, " AND ".join(["version=1"] * (MAX_COMPARISONS + 1)))


def test_a_models_name_may_be_the_full_resource_name() -> None:
    model = resources.Model(name="models/fraud")
    assert parse(Kind.MODEL, "name = models/fraud").matches(model)
    assert parse(Kind.MODEL, "name = fr*").matches(model)
    assert not parse(Kind.MODEL, "name = fraud-eu").matches(model)


@given(st.text(max_size=60))
def test_any_text_is_a_valid_filter_or_is_refused(text: str) -> None:
    with suppress(BadQuery):
        parse(Kind.VERSION, text).matches(VERSION)


@given(st.text(min_size=1))
def test_any_text_can_be_a_value_in_quotes(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    if len(quoted) > 1_900:
        return
    assert parse(Kind.VERSION, f'tags.note = "{quoted}"').matches(
        resources.Version(name="models/m", tags={"note": text})
    )


SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
numbers = st.floats(allow_nan=False)


@given(st.sampled_from(sorted(SIGNS)), numbers, numbers)
def test_numbers_compare_as_numbers(sign: str, measured: float, limit: float) -> None:
    report = facts.EvaluationReport(metrics=[facts.Metric(name="loss", value=measured)])
    version = resources.Version(name="models/m/versions/1", report=report)
    assert parse(Kind.VERSION, f"metrics.loss {sign} {limit!r}").matches(version) is SIGNS[sign](measured, limit)
