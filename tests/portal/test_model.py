"""The page of a model: its versions as a table that sorts, filters and pages by the grammar of the registry."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import commands_pb2 as commands
from tests.domain.scenario import REPOSITORY, commit
from tests.histories.stories import FRAUD, _live_and_passed
from tests.portal.console import Console, console

VERSIONS = re.compile(r'<tr id="version-(\d+)">')


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        _live_and_passed(running.recorder)
        yield running.sign_in()


def numbers(page: str) -> list[int]:
    return [int(number) for number in VERSIONS.findall(page)]


def test_the_newest_versions_come_first_with_their_metrics_and_where_they_are_live(shown: Console):
    page = shown.get("/models/fraud").text
    assert numbers(page) == [2, 1]
    assert "v1 live in production" in page
    assert "auc" in page
    assert "0.9500" in page


def test_a_heading_sorts_and_a_second_click_turns_the_order_round(shown: Console):
    assert numbers(shown.get("/models/fraud?order=version%20asc").text) == [1, 2]
    assert 'aria-sort="descending"' in shown.get("/models/fraud?order=metrics.auc%20desc").text
    assert "order=metrics.auc%20asc" in shown.get("/models/fraud?order=metrics.auc%20desc").text


def test_the_filter_speaks_the_registry_s_grammar_and_says_what_is_wrong(shown: Console):
    assert numbers(shown.get("/models/fraud?filter=version%20%3D%202").text) == [2]
    page = shown.get("/models/fraud?filter=%3Cscript%3E").text
    assert 'role="alert"' in page
    assert "<script>" not in page
    assert shown.get("/models/fraud?page=broken").status == 200


def test_many_versions_are_turned_page_by_page_without_a_gap(shown: Console):
    for number in range(3, 106):
        shown.recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(number)))
    url, seen = "/models/fraud", []
    while url:
        page = shown.get(url).text
        assert len(page) < 200_000
        seen += numbers(page)
        found = re.search(r'href="([^"]+)">Next page', page)
        url = found[1].replace("&amp;", "&") if found else ""
    assert seen == list(range(105, 0, -1))


def test_a_model_without_versions_says_the_next_command(shown: Console):
    shown.recorder.send("models/churn", commands.CreateModel())
    assert "headgate publish churn" in shown.get("/models/churn").text
