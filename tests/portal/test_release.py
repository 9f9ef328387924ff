"""The page of a release: what it shows of the facts and of the deployer's view, and what its buttons send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import worker_services_pb2 as worker_services
from tests.histories.stories import FRAUD, _judgement, _live_and_passed, _step, canary_promoted
from tests.portal.console import Console, console

URL = "/models/fraud/releases/2"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        _live_and_passed(running.recorder)
        _step(running.recorder, FRAUD, 2, 2, steps=2)
        yield running.sign_in()


def word_of(page: str) -> str:
    return page.partition('<body data-word="')[2].partition('"')[0]


def test_the_page_shows_the_way_the_weights_and_the_evidence_with_what_proves(shown: Console):
    page = " ".join(shown.get(URL).text.split())
    assert "stepping 2/" in page
    assert 'aria-current="step"' in page
    assert "safe: 21.50, proof at 20" in page
    assert "harm: 1.25, proof at 100" in page
    assert "9 of 640" in page
    assert "ada@example.org" in page


def test_what_the_release_waits_for_comes_from_the_deployer(shown: Console):
    assert "The deployer has not answered" in shown.get(URL).text
    release = shown.recorder.release(FRAUD, 2)
    pilot = worker_services.Pilot(release=release, waiting_for="360 more candidate keys (640 of 1000)")
    pilot.judgement.CopyFrom(_judgement(facts.VERDICT_PASS, 5000))
    pilot.judgement.pass_e_value = 33.0
    shown.calls.answer = worker_services.ListPilotsResponse(pilots=[pilot])
    page = shown.get(URL).text
    assert "Waits for 360 more candidate keys (640 of 1000)." in " ".join(page.split())
    assert "safe: 33.00, proof at 20" in page


def test_a_button_sends_one_command_in_the_name_of_whoever_pressed_it(shown: Console):
    form = {"word": word_of(shown.get(URL).text), "reason": "looks odd"}
    answer = shown.post(f"{URL}/pause", form)
    assert (answer.status, answer.headers["location"]) == (303, URL)
    ((name, method, request),) = shown.calls.sent
    assert (name, method) == ("token:root", "PauseRelease")
    assert (request.name, request.reason, bool(request.request_id)) == ("models/fraud/releases/2", "looks odd", True)


def test_a_button_without_the_word_of_the_page_or_a_sign_in_sends_nothing(shown: Console):
    assert shown.post(f"{URL}/pause", {"word": "guessed"}).status == 403
    shown.cookie = ""
    assert shown.post(f"{URL}/pause", {"word": ""}).status == 401
    assert shown.post(f"{URL}/explode", {"word": ""}).status in (401, 404)
    assert shown.calls.sent == []


def test_a_refusal_is_shown_with_its_reason(shown: Console):
    shown.calls.refusal = "release 2 of fraud is paused"
    answer = shown.post(f"{URL}/pause", {"word": word_of(shown.get(URL).text)}, {"accept": "text/html"})
    assert (answer.status, "release 2 of fraud is paused" in answer.text) == (409, True)


def test_only_the_buttons_that_the_viewer_may_press_are_there(shown: Console):
    assert [f'{URL}/{word}"' in shown.get(URL).text for word in ("promote", "abort", "resume")] == [True, True, False]
    secret = "hgt_" + "e" * 43
    shown.give(secret, facts.ROLE_VIEWER)
    page = shown.sign_in(secret).get(URL).text
    assert [f'{URL}/{word}"' in page for word in ("promote", "abort")] == [False, False]


def test_a_paused_release_is_resumed_and_says_why_it_is_paused(shown: Console):
    shown.recorder.send(FRAUD, commands.PauseRelease(release=2, reason="<script>alert(1)</script>"))
    page = shown.get(URL).text
    assert f'{URL}/resume"' in page
    assert "Paused: &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_what_is_not_there_or_not_for_this_viewer_is_not_found(shown: Console):
    assert [shown.get(url).status for url in ("/models/fraud/releases/9", "/models/nope/releases/1")] == [404, 404]
    secret = "hgt_" + "f" * 43
    shown.give(secret, facts.ROLE_VIEWER, models="churn")
    assert shown.sign_in(secret).get(URL).status == 404
    assert shown.get("/models/fraud").status == 404


def test_a_completed_release_can_be_undone(tmp_path: Path):
    with console(tmp_path) as running:
        canary_promoted(running.recorder)
        page = running.sign_in().get(URL).text
        assert f'{URL}/undo"' in page
        assert f'{URL}/pause"' not in page
