"""The slider: every page as it stood at a moment, folded from the log."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headgate.lifecycle import past
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.portal.timeline import BadTime, moment_of
from tests.histories.stories import FRAUD, _live_and_passed, _step
from tests.portal.console import Console, console


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        yield running.sign_in()


def test_a_page_of_the_past_shows_what_was_then_and_offers_no_button(shown: Console):
    _live_and_passed(shown.recorder)
    _step(shown.recorder, FRAUD, 2, 2, steps=1)
    then = shown.recorder.now_ms
    _step_on = commands.PauseRelease(release=2, reason="later")
    shown.recorder.wait(60)
    shown.recorder.send(FRAUD, _step_on)
    now, past = (shown.get(f"/models/fraud/releases/2{at}").text for at in ("", f"?at={then}"))
    assert ("Paused: later" in now, "Paused: later" in past) == (True, False)
    assert ("/models/fraud/releases/2/abort" in now, "/models/fraud/releases/2/abort" in past) == (True, False)
    assert ("data-live=" in now, "data-live=" in past) == (True, False)
    assert "As it was at" in past


def test_before_its_first_fact_a_model_is_not_there(shown: Console):
    before = shown.recorder.now_ms
    shown.recorder.wait(60)
    shown.recorder.send(FRAUD, commands.CreateModel())
    assert "model-fraud" in shown.get("/").text
    assert "model-fraud" not in shown.get(f"/?at={before}").text
    assert shown.get(f"/models/fraud?at={before}").status == 404


@pytest.mark.parametrize("at", ["tomorrow", "9" * 15, "2099-01-01T00:00", "-1", "1e9", "٣"])
def test_a_moment_that_is_none_or_has_not_come_is_refused_in_words(shown: Console, at: str):
    assert shown.get(f"/?at={at}").status == 400


def test_a_model_is_seen_in_the_past_by_the_labels_that_it_has_now(shown: Console):
    for name, team in (("fraud", "risk"), ("churn", "growth")):
        shown.recorder.send(f"models/{name}", commands.CreateModel())
        shown.recorder.send(f"models/{name}", commands.LabelModel(key="team", value=team))
    then = shown.recorder.now_ms
    shown.recorder.wait(60)
    shown.recorder.send("models/fraud", commands.LabelModel(key="team", value="growth"))
    shown.recorder.send("models/churn", commands.LabelModel(key="team", value="risk"))
    secret = "hgt_" + "d" * 43
    shown.give(secret, facts.ROLE_VIEWER, models="team=risk")
    shown.sign_in(secret)
    for at in ("", f"?at={then}"):
        assert [shown.get(f"/models/{name}{at}").status for name in ("fraud", "churn")] == [404, 200]
        assert ["/models/fraud" in shown.get(f"{page}{at}").text for page in ("/", "/log")] == [False, False]
        assert ["/models/churn" in shown.get(f"{page}{at}").text for page in ("/", "/log")] == [True, True]


def test_while_the_log_is_read_for_a_page_of_the_past_nobody_waits_for_the_fold(
    shown: Console, monkeypatch: pytest.MonkeyPatch
):
    _live_and_passed(shown.recorder)
    then = shown.recorder.now_ms
    shown.recorder.wait(60)
    shown.recorder.send(FRAUD, commands.DescribeModel(description="later"))
    reads, records_at = [], past.records_at

    def reading(log: Any, places: Any) -> Any:
        with ThreadPoolExecutor(1) as other:
            is_free = other.submit(shown.fold.lock.acquire, False).result()
            if is_free:
                other.submit(shown.fold.lock.release).result()
        reads.append(is_free)
        return records_at(log, places)

    monkeypatch.setattr(past, "records_at", reading)
    for page in ("/", "/log", "/models/fraud", "/models/fraud/versions/1", "/models/fraud/releases/1"):
        assert shown.get(f"{page}?at={then - 1}").status == 200
    assert reads
    assert all(reads)


def test_the_steps_lead_from_fact_to_fact(shown: Console):
    times = []
    for name in ("aaa", "bbb", "ccc"):
        shown.recorder.wait(60)
        shown.recorder.send(f"models/{name}", commands.CreateModel())
        times.append(shown.recorder.now_ms)
    assert f'href="/?at={times[1]}"' in shown.get("/").text
    page = shown.get(f"/?at={times[1]}").text
    assert f'href="/?at={times[0]}"' in page
    assert f'href="/?at={times[2]}"' in page


def test_a_moment_is_read_as_utc_unless_it_says_otherwise():
    now = 2_000_000_000_000
    assert moment_of("2026-03-03T14:05", now) == moment_of("2026-03-03T15:05+01:00", now) == 1_772_546_700_000
    with pytest.raises(BadTime, match="not come yet"):
        moment_of("2034-01-01T00:00", now)


def test_a_part_of_a_page_comes_without_what_is_around_it(shown: Console):
    part = shown.get("/", {"x-part": "1"}).text
    assert ("<html" in part, "<h1>Fleet</h1>" in part) == (False, True)


def test_a_link_from_a_page_of_the_past_leads_to_the_same_moment(shown: Console):
    _live_and_passed(shown.recorder)
    _step(shown.recorder, FRAUD, 2, 2, steps=1)
    then = shown.recorder.now_ms
    for url in ("/", "/log", "/models/fraud", "/models/fraud/versions/2", "/models/fraud/releases/2"):
        main = shown.get(f"{url}?at={then}").text.split("</form>", 2)[-1].split("<main", 1)[-1]
        links = re.findall(r'href="(/models/[^"]*)"', main)
        assert links
        assert all(f"at={then}" in link for link in links), links
