"""The chart of one metric over the versions of a model."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.portal.metric_chart import HEIGHT, MAX_MARKS, WIDTH, Point, metric_chart
from tests.histories.stories import STORIES, _evaluate
from tests.portal.console import console

VALUES = st.lists(
    st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1, 1), min_size=2, max_size=2 * MAX_MARKS
)


@given(VALUES)
def test_every_point_is_within_the_drawing(values: list[float]):
    points = [Point(number, value, None, "") for number, value in enumerate(values, start=1)]
    chart = metric_chart(points, {"at least": values[0]}, {"production": 1})
    places = [tuple(map(float, each.split(","))) for each in chart.lines.split()]
    assert len(places) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert len(chart.marks) in (0, len(values))


def test_the_ticks_are_round_and_a_metric_that_never_changes_has_some_too():
    chart = metric_chart([Point(1, 0.91, None, ""), Point(4, 0.95, None, "")], {}, {})
    assert [word for _, word in chart.ticks] == ["0.91", "0.92", "0.93", "0.94", "0.95"]
    assert [version for _, version in chart.labels] == [1, 4]
    assert len({y for y, _ in metric_chart([Point(1, 0.5, None, "")] * 2, {}, {}).ticks}) == 5


def test_the_model_s_page_draws_the_chosen_metric_with_the_gate_s_bound_and_what_is_live(tmp_path: Path):
    with console(tmp_path) as shown:
        STORIES["canary_promoted"](shown.recorder)
        page = shown.sign_in().get("/models/fraud").text
        assert 'aria-label="auc from v1 with 0.9500 to v2 with 0.9500"' in page
        assert "gate: at least 0.9" in page
        assert "live in production</span>" in page
        assert '<a href="/models/fraud/versions/2" aria-label="v2: 0.9500">' in page
        assert "<script>" not in shown.get("/models/fraud?metric=<script>").text


@pytest.mark.parametrize("versions", [0, 1])
def test_one_value_is_no_chart(tmp_path: Path, versions: int):
    with console(tmp_path) as shown:
        for number in range(1, versions + 1):
            _evaluate(shown.recorder, "models/fraud", number)
        assert "course" not in shown.sign_in().get("/models/fraud").text
