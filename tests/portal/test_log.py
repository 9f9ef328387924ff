"""The page of the newest facts."""

from pathlib import Path

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.histories.stories import _live_and_passed
from tests.portal.console import console


def test_the_newest_facts_come_first_and_only_of_what_the_viewer_may_read(tmp_path: Path):
    with console(tmp_path) as shown:
        _live_and_passed(shown.recorder)
        then = shown.recorder.now_ms
        shown.recorder.wait(60)
        shown.recorder.send("models/churn", commands.CreateModel(description="<script>x</script>"))
        page = shown.sign_in().get("/log").text
        assert page.index("/models/churn") < page.index("/models/fraud")
        assert "passes the gate" in page
        assert "/models/churn" not in shown.get(f"/log?at={then}").text
        assert "/models/churn" not in shown.get("/log?search=passes%20gate").text
        secret = "hgt_" + "g" * 43
        shown.give(secret, facts.ROLE_VIEWER, models="churn")
        page = shown.sign_in(secret).get("/log").text
        assert ("/models/churn" in page, "/models/fraud" in page) == (True, False)


def test_an_empty_log_says_the_next_command(tmp_path: Path):
    with console(tmp_path) as shown:
        assert "Nothing has happened yet" in shown.sign_in().get("/log").text
