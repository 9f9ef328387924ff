"""The page of causes: the same tree as `headgate explain`, for what the viewer may read, at any moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.portal.addresses import commit_url
from tests.domain.scenario import REPOSITORY, commit
from tests.histories.stories import FRAUD, STORIES, _claim, _live_and_passed
from tests.portal.console import Console, console


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        yield running.sign_in()


def test_a_version_a_release_and_what_serves_are_explained_back_to_commit_data_and_people(shown: Console):
    STORIES["canary_promoted"](shown.recorder)
    for url, why in (
        ("/models/fraud/why", "Why fraud serves v2 in production"),
        ("/models/fraud/releases/2/why", "Why release 2 of fraud: canary of v2 into production is completed"),
        ("/models/fraud/versions/2/why", "Why v2 of fraud is "),
    ):
        page = shown.get(url).text
        assert f"<h1>{why}" in page
        assert f'href="https://git.example/fraud/commit/{commit(2)}"' in page
        assert "data transactions: data.csv" in page
        assert "<dt>People</dt><dd>ada@example.org</dd>" in page
        assert f'href="{url}"' in shown.get(url.removesuffix("/why")).text


def test_the_past_is_explained_by_what_was_known_then_and_links_into_it(shown: Console):
    _live_and_passed(shown.recorder)
    then = shown.recorder.now_ms
    shown.recorder.wait(60)
    shown.recorder.send(FRAUD, commands.QuarantineCandidate(version=2, reason="wrong month"))
    assert "wrong month" in shown.get("/models/fraud/versions/2/why").text
    page = shown.get(f"/models/fraud/versions/2/why?at={then}").text
    assert "wrong month" not in page
    assert f'href="/models/fraud/versions/2?at={then}"' in page


def test_a_version_that_a_rollback_has_quarantined_says_so_until_that_is_lifted(shown: Console):
    STORIES["rolled_back_by_verdict"](shown.recorder)
    fold = shown.recorder._fold.streams[FRAUD]
    before = fold.times_ms[-1] - 1
    quarantined = shown.get(f"/models/fraud/versions/2/why?at={before}").text
    assert "Why v2 of fraud is quarantined" in quarantined
    assert "ROLLS BACK" in quarantined
    assert "ROLLS BACK" not in shown.get("/models/fraud/versions/2/why").text


def test_what_the_viewer_may_not_read_or_is_not_there_is_not_found(shown: Console):
    _live_and_passed(shown.recorder)
    missing = [f"/models/fraud/{kind}/9/why" for kind in ("versions", "releases")]
    assert [shown.get(url).status for url in (*missing, "/models/churn/why")] == [404] * 3
    secret = "hgt_" + "g" * 43
    shown.give(secret, facts.ROLE_VIEWER, models="churn")
    shown.sign_in(secret)
    for url in ("/models/fraud/why", "/models/fraud/versions/1/why", f"/models/fraud/why?at={shown.recorder.now_ms}"):
        assert shown.get(url).status == 404


def test_words_of_strangers_stay_words(shown: Console):
    hostile = commands.CreateVersion(repository=REPOSITORY, commit=commit(1), commit_message="<script>x</script>")
    shown.recorder.send(FRAUD, commands.CreateModel(), hostile, _claim(1, 1, "trainer-0"))
    page = shown.get("/models/fraud/versions/1/why").text
    assert "&lt;script&gt;" in page
    assert "<script>x" not in page


def test_a_commit_is_linked_at_the_page_of_its_forge():
    sha = commit(1)
    assert commit_url("https://github.com/acme/fraud.git", sha) == f"https://github.com/acme/fraud/commit/{sha}"
    assert (
        commit_url("https://ada:key@gitlab.example:8443/a/b", sha) == f"https://gitlab.example:8443/a/b/-/commit/{sha}"
    )
    assert commit_url("https://bitbucket.org/a/b/", sha) == f"https://bitbucket.org/a/b/commits/{sha}"
    for other in ("git@github.com:acme/fraud.git", "/srv/fraud", "http://git.example/fraud", "https://[", ""):
        assert commit_url(other, sha) == ""
