"""The page of a version: gate, metrics, provenance, approvals and history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.histories.stories import FRAUD, STORIES, _evaluate, _live_and_passed
from tests.portal.console import Console, console
from tests.portal.test_release import word_of

URL = "/models/fraud/versions/2"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        yield running.sign_in()


def test_the_page_says_what_the_gate_asked_what_was_measured_and_where_it_comes_from(shown: Console):
    _live_and_passed(shown.recorder)
    page = " ".join(shown.get(URL).text.split())
    assert "at least 0.9" in page
    assert '<span class="number">0.9500</span>' in page
    assert "v1, live then" in page
    assert "transactions" in page
    assert "passes the gate" in page


def test_an_approval_is_given_by_a_button_in_ones_own_name(shown: Console):
    _live_and_passed(shown.recorder)
    assert "/approve" not in shown.get(URL).text
    _evaluate(shown.recorder, FRAUD, 3, approvals=1)
    page = shown.get("/models/fraud/versions/3").text
    assert "0 of 1 approval" in page
    answer = shown.post("/models/fraud/versions/3/approve", {"word": word_of(page), "reason": "checked"})
    assert answer.status == 303
    ((name, method, request),) = shown.calls.sent
    assert (name, method, request.name) == ("token:root", "ApproveVersion", "models/fraud/versions/3")


def test_a_version_that_failed_says_why(shown: Console):
    STORIES["failed_stages"](shown.recorder)
    assert 'class="notice bad"' in shown.get("/models/fraud/versions/1").text


def test_a_version_that_is_not_there_is_not_found(shown: Console):
    assert shown.get(URL).status == 404
