"""The console over the file of an exported log: the same pages, to be read alone, by whoever opened the link."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from headgate.log import topics
from headgate.log.export_file import records_of, write
from headgate.log.open import open_log
from headgate.log.port import LogError
from headgate.v1 import commands_pb2 as commands
from services.portal.exported.app import FileConsole, Settings, file_application
from services.portal.rendering import static_url
from tests.histories.recorder import new_recorder
from tests.histories.stories import FRAUD, _evaluate, _live_and_passed, _step
from tests.portal.asgi import Answer, call


class Browser:
    """A browser in front of the console of one file."""

    def __init__(self, file: Path) -> None:
        self.log = open_log(f"file:{file}")
        self.application, self.link = file_application(self.log, file.name)
        self.cookie = ""

    def ask(self, method: str, url: str) -> Answer:
        answer = call(self.application, method, url, {"cookie": self.cookie, "accept": "text/html"})
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The export of a log with a running release and a version that waits for an approval."""
    exported = tmp_path / "<facts>.jsonl"
    with new_recorder(tmp_path) as (recorder, _), exported.open("wb") as into:
        _live_and_passed(recorder)
        _evaluate(recorder, FRAUD, 3, approvals=1)
        recorder.send(FRAUD, commands.DecideGate(version=3))
        _step(recorder, FRAUD, 2, 2, steps=1)
        write(into, topics.LIFECYCLE, records_of(recorder._log, topics.LIFECYCLE))
    return exported


@pytest.fixture
def browser(file: Path) -> Iterator[Browser]:
    found = Browser(file)
    yield found
    found.log.close()


def test_only_the_link_opens_it_and_only_once(browser: Browser):
    assert browser.ask("GET", "/").status == 303
    assert browser.ask("GET", "/sign-in").status == 401
    assert call(browser.application, "GET", "/", {"authorization": "Bearer any"}).status == 303
    assert browser.ask("GET", "/sign-in/link/guessed").status == 401
    assert browser.ask("GET", browser.link).status == 303
    assert browser.ask("GET", "/").status == 200
    assert browser.ask("GET", browser.link).status == 401
    assert call(browser.application, "GET", "/", {"host": "console.example.com"}).status == 421


def test_every_page_says_that_it_is_a_file_and_shows_the_present_and_the_past_of_it(browser: Browser):
    browser.ask("GET", browser.link)
    urls = ("/", "/models/fraud", "/models/fraud/versions/2", "/models/fraud/releases/2", "/log")
    for url in (*urls, "/models/fraud/why", "/models/fraud/compare?base=1&other=2", "/nothing"):
        page = browser.ask("GET", url).text
        assert "the exported log <b>&lt;facts&gt;.jsonl</b>" in page
        assert "data-live=" not in page
    page = browser.ask("GET", "/models/fraud").text
    assert "End of the file" in page
    (before,) = re.findall(r"at=([0-9]+)", page)
    assert "As it was at" in browser.ask("GET", f"/models/fraud?at={before}").text
    assert browser.ask("GET", "/models/fraud?at=2100-01-01").status == 400


def test_nothing_can_be_changed(browser: Browser):
    browser.ask("GET", browser.link)
    for url in ("/models/fraud/versions/3", "/models/fraud/releases/2"):
        assert 'method="post"' not in browser.ask("GET", url).text
    for url in ("/models/fraud/versions/3/approve", "/models/fraud/releases/2/pause", "/v1/models", "/sign-in/links"):
        assert browser.ask("POST", url).status in (404, 405)
    assert "deployer has not answered" not in browser.ask("GET", "/models/fraud/releases/2").text


def test_it_listens_on_the_loopback_and_says_its_link(file: Path):
    said: list[str] = []
    console = FileConsole(Settings(log=f"file:{file}"), said.append)
    port = console.start()
    try:
        assert said == [f"{console.link}\n"]
        assert console.link.startswith(f"http://127.0.0.1:{port}/sign-in/link/")
        with urlopen(f"http://127.0.0.1:{port}{static_url('mark.svg')}", timeout=10) as answer:
            assert answer.status == 200
    finally:
        console.stop(1.0)


def test_a_file_that_was_cut_short_is_refused(file: Path):
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(LogError):
        FileConsole(Settings(log=f"file:{file}"), lambda _: None)
