"""Open pages get new HTML when the state has changed, made once for all who are shown the same."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.v1 import commands_pb2 as commands
from services.portal import live as lives
from services.portal.live import Followed, Live
from tests.portal.asgi import scope_of
from tests.portal.console import ADMINISTRATOR, console
from tests.waiting import PATIENCE_SECONDS


class Browser:
    """One open stream. It reads only while `reads` is set."""

    def __init__(self) -> None:
        self.text = ""
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.text += message.get("body", b"").decode()

    async def until(self, condition: Callable[[str], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.text):
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "LEAST_SECONDS", 0.01)


def test_a_change_reaches_the_page_that_is_open(tmp_path: Path):
    async def story() -> None:
        with console(tmp_path, asks=False) as shown:
            shown.fold.on_accepted(lambda _record, _fact: shown.live.touch())
            browser = Browser()
            stream = asyncio.create_task(
                shown.application(scope_of("GET", "/live/", {}), browser.receive, browser.send)
            )
            await browser.until(lambda text: "No model yet" in text)
            shown.recorder.send("models/fraud", commands.CreateModel())
            await browser.until(lambda text: "model-fraud" in text)
            assert "<html" not in browser.text
            browser.gone.set()
            await stream
            assert shown.live.viewers == 0

    asyncio.run(story())


def test_a_fact_after_the_end_of_the_loop_stops_nobody_who_folds_the_log():
    async def story(live: Live) -> None:
        live.stream(Followed("fleet", str, 60.0))

    live = Live()
    asyncio.run(story(live))
    live.touch()
    live.close()
    live.touch()


def test_one_caller_leaves_pages_for_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lives, "MAX_OF_ONE", 1)

    async def story() -> None:
        live, browser = Live(), Browser()
        stream = live.stream(Followed("fleet", str, 60.0, caller="anna"))
        running = asyncio.create_task(stream({}, browser.receive, browser.send))
        await browser.until(bool)
        assert [live.is_full(caller) for caller in ("anna", "ben", "")] == [True, False, False]
        browser.gone.set()
        await running
        assert not live.is_full("anna")

    asyncio.run(story())


def test_a_page_of_the_past_has_no_stream(tmp_path: Path):
    with console(tmp_path, asks=False) as shown:
        assert shown.get("/live/?at=1").status == 400


def test_viewers_who_are_shown_the_same_share_one_rendering_and_one_who_does_not_read_holds_up_nobody():
    async def story() -> None:
        made = 0

        def make() -> str:
            nonlocal made
            made += 1
            return f"version {made}"

        live, browsers = Live(), [Browser() for _ in range(50)]
        streams = [live.stream(Followed("fleet", make, 60.0)) for _ in browsers]
        browsers[0].reads.clear()
        running = [
            asyncio.create_task(stream({}, each.receive, each.send))
            for stream, each in zip(streams, browsers, strict=True)
        ]
        for each in browsers[1:]:
            await each.until(lambda text: "version 1" in text)
        live.touch()
        for each in browsers[1:]:
            await each.until(lambda text: "version 2" in text)
        assert made == 2
        browsers[0].reads.set()
        await browsers[0].until(lambda text: "version 2" in text)
        live.close()
        await asyncio.gather(*running)
        assert live.viewers == 0

    asyncio.run(story())


def test_a_page_that_fails_once_is_made_again():
    async def story() -> None:
        outcomes = iter([RuntimeError("once"), "well again"])

        def make() -> str:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        live, browser = Live(), Browser()
        running = asyncio.create_task(live.stream(Followed("a", make, 0.01))({}, browser.receive, browser.send))
        await browser.until(lambda text: "well again" in text)
        browser.gone.set()
        await running

    asyncio.run(story())


def test_a_sign_out_ends_the_stream_of_that_browser_and_of_no_other(tmp_path: Path):
    async def story() -> None:
        with console(tmp_path) as shown:
            shown.fold.on_accepted(lambda _record, _fact: shown.live.touch())
            cookies = [f"{shown.viewers.cookie}={shown.sessions.begin(ADMINISTRATOR)}" for _ in range(2)]
            browsers = [Browser() for _ in cookies]
            running = [
                asyncio.create_task(
                    shown.application(scope_of("GET", "/live/", {"cookie": cookie}), browser.receive, browser.send)
                )
                for cookie, browser in zip(cookies, browsers, strict=True)
            ]
            for browser in browsers:
                await browser.until(lambda text: "No model yet" in text)
            shown.sessions.end(cookies[1].partition("=")[2])
            shown.recorder.send("models/fraud", commands.CreateModel())
            await browsers[0].until(lambda text: "model-fraud" in text)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await running[1]
            assert "your sign-in has ended" in browsers[1].text
            assert "model-fraud" not in browsers[1].text
            browsers[0].gone.set()
            await running[0]

    asyncio.run(story())
