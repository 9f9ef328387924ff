"""The page of all models, from facts that the registry's rules have decided."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.histories.stories import FRAUD, PRODUCTION, STORIES, _live_and_passed, _step
from tests.portal.console import Console, console

SCRIPT = "<script>alert(1)</script>'\"&"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        yield running.sign_in()


def test_the_first_visitor_is_told_the_first_command(shown: Console):
    page = shown.get("/").text
    assert "No model yet" in page
    assert "headgate init" in page


def test_a_release_is_shown_with_both_versions_and_the_share_of_the_candidate(shown: Console):
    _live_and_passed(shown.recorder)
    _step(shown.recorder, FRAUD, 2, 2, steps=1)
    page = " ".join(shown.get("/").text.split())
    share = shown.recorder.release(FRAUD, 2).weights[1].weight_bps / 100
    assert '<span class="pill good">v1</span> production' in page
    assert f'aria-label="{share:g} % share of version 2"' in page
    assert "stepping 1 of" in page


def test_what_waits_for_a_person_comes_first_and_says_why(shown: Console):
    shown.recorder.send("models/aaa", commands.CreateModel(description="quiet"))
    _live_and_passed(shown.recorder)
    shown.recorder.send(PRODUCTION, commands.CreateEnvironment())
    shown.recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=2))
    shown.recorder.send(FRAUD, commands.PauseRelease(release=2, reason="not before the holidays"))
    page = shown.get("/").text
    assert page.index('id="model-fraud"') < page.index('id="model-aaa"')
    assert "release 2 of fraud is paused: not before the holidays" in page


def test_what_has_failed_is_named(shown: Console):
    STORIES["failed_stages"](shown.recorder)
    assert 'class="note bad"' in shown.get("/").text


def test_the_groups_and_the_search_leave_out_the_others(shown: Console):
    for name in ("aaa", "bbb"):
        shown.recorder.send(f"models/{name}", commands.CreateModel())
    page = shown.get("/?search=AA").text
    assert ("model-aaa" in page, "model-bbb" in page) == (True, False)
    assert "No model is like that" in shown.get("/?only=broken").text


def test_a_viewer_sees_only_the_models_of_its_grants(shown: Console):
    for name in ("aaa", "bbb"):
        shown.recorder.send(f"models/{name}", commands.CreateModel())
    secret = "hgt_" + "d" * 43
    shown.give(secret, facts.ROLE_VIEWER, models="bbb")
    page = shown.sign_in(secret).get("/").text
    assert ("model-aaa" in page, "model-bbb" in page) == (False, True)


def test_no_text_of_others_becomes_a_script(shown: Console):
    shown.recorder.send(FRAUD, commands.CreateModel(description=SCRIPT))
    page = shown.get(f"/?search={'%3Cscript%3E'}").text
    assert "<script>" not in page.replace("<script src=", "")
    page = shown.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_a_hundred_models_are_shown_and_the_others_are_counted(shown: Console):
    for number in range(103):
        shown.recorder.send(f"models/m{number:03}", commands.CreateModel())
    page = shown.get("/").text
    assert page.count('<tr id="model-') == 100
    assert "3 more models" in page
