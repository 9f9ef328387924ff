"""The page that compares two versions of a model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.portal.fields import compared, texts_of, texts_of_json
from tests.histories.stories import FRAUD, STORIES, _evaluate, _pass
from tests.portal.console import Console, console

URL = "/models/fraud/compare?base=1&other=2"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        _evaluate(running.recorder, FRAUD, 1, auc=0.91)
        _pass(running.recorder, FRAUD, 2)
        yield running.sign_in()


def test_metrics_stand_side_by_side_with_the_difference_and_which_is_better(shown: Console):
    page = shown.get(URL).text
    assert '<span class="pill good">+0.0400 <span class="verdict">better</span></span>' in page
    assert "Of 1 metric on all rows, v2 is better in 1 and worse in 0." in page
    turned = shown.get("/models/fraud/compare?base=2&other=1").text
    assert '<span class="pill bad">-0.0400 <span class="verdict">worse</span></span>' in turned


def test_what_they_are_made_of_shows_what_differs_and_folds_what_is_the_same(shown: Console):
    page = shown.get(URL).text
    differing, same = page.split(">Origin", 1)[1].split(">Data", 1)
    assert "000001" in differing
    assert "<code>train.learning_rate</code>" in same.split("<details>", 1)[1]
    assert "<code>torch</code></dt><dd>2.13.0" in same


def test_a_version_that_was_evaluated_again_has_the_environment_of_its_training(tmp_path: Path):
    with console(tmp_path) as shown:
        STORIES["compared_again"](shown.recorder)
        page = shown.sign_in().get(URL).text
        assert "Environment and lock" in page
        assert "<code>torch</code></dt><dd>2.13.0" in page


def test_the_model_s_page_offers_the_choice_and_the_past_is_compared_as_it_stood(shown: Console):
    page = shown.get("/models/fraud").text
    assert 'action="/models/fraud/compare"' in page
    assert '<option value="2" selected>v2</option>' in page
    assert shown.get(f"{URL}&at={shown.recorder.now_ms}").status == 200
    assert shown.get(f"{URL}&at={shown.recorder.now_ms - 86_400_000}").status == 404
    assert "?base=1&amp;other=2&amp;at=" in shown.get(URL).text


def test_what_is_not_there_or_hidden_is_not_found(shown: Console):
    for query in ("", "?base=1", "?base=1&other=9", "?base=x&other=1", f"?base=1&other={'9' * 40}", "?base=²&other=1"):
        assert shown.get(f"/models/fraud/compare{query}").status == 404
    assert "<script>" not in shown.get("/models/fraud/compare?base=1&other=<script>x").text
    secret = "hgt_" + "g" * 43
    shown.give(secret, facts.ROLE_VIEWER, models="churn")
    assert shown.sign_in(secret).get(URL).status == 404


def test_a_rule_is_known_by_its_metric_and_a_time_has_its_unit():
    rules = [configuration.GateRule(metric="auc", min=0.9, slice="country = DE")]
    assert texts_of(configuration.GatePolicy(rules=rules, approvals=2)) == {
        "rules[auc on country = DE].metric": "auc",
        "rules[auc on country = DE].min": "0.9",
        "rules[auc on country = DE].slice": "country = DE",
        "approvals": "2",
    }
    steps = [configuration.Step(weight_bps=500, min_duration_ms=90_000)]
    policy = configuration.ReleasePolicy(steps=steps, paused_release=configuration.PAUSED_RELEASE_STAYS)
    assert texts_of(policy) == {
        "steps[1].weight": "5 %",
        "steps[1].min_duration": "1 min 30 s",
        "paused_release": "stays",
    }


def test_free_parameters_are_taken_apart_and_compared_by_name():
    base, other = (
        texts_of_json('{"a":{"b":1},"c":[1]}', "parameters"),
        texts_of_json('{"a":{"b":2},"d":"x"}', "parameters"),
    )
    assert [(each.name, each.base, each.other) for each in compared(base, other)] == [
        ("parameters.a.b", "1", "2"),
        ("parameters.d", "", "x"),
        ("parameters.c", "[1]", ""),
    ]
    assert texts_of_json("{", "parameters") == {"parameters": "{"}
    assert "…" in texts_of_json("[" * 500, "parameters")["parameters"]
