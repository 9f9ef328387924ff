"""What the console asks of every request, and which headers every answer has."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.portal import guard
from services.portal.guard import MAX_BODY_BYTES
from tests.portal.asgi import call, scope_of
from tests.portal.console import ADMINISTRATOR, Console, console

FORM = {"token": ADMINISTRATOR, "next": "/"}


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path, hosts=("console.example.com",)) as running:
        yield running


@pytest.mark.parametrize("url", ["/sign-in", "/", "/nothing/here", "/static/0/console.css", "/live/"])
def test_every_answer_forbids_foreign_scripts_frames_and_guessed_types(shown: Console, url: str):
    headers = shown.get(url).headers
    assert "script-src 'self';" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7408", "localhost", "[::1]:7408", "console.example.com", "CONSOLE.example.com"]
)
def test_the_console_answers_under_its_own_names(shown: Console, host: str):
    assert shown.get("/sign-in", {"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "console.example.com.evil.example", "[", ""]
)
def test_a_foreign_name_is_refused_so_that_no_rebound_name_reaches_the_loopback(shown: Console, host: str):
    assert shown.get("/sign-in", {"host": host}).status == 421


def test_only_a_real_name_is_told_to_stay_encrypted(shown: Console):
    assert "strict-transport-security" in shown.get("/sign-in", {"host": "console.example.com"}).headers
    assert "strict-transport-security" not in shown.get("/sign-in").headers


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://["},
        {"origin": "https://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_post_from_a_page_of_another_site_is_refused(shown: Console, headers: dict[str, str]):
    assert shown.post("/sign-in", FORM, headers).status == 403
    assert len(shown.sessions) == 0


def test_a_post_of_the_console_s_own_page_and_of_a_program_is_taken(shown: Console):
    assert shown.post("/sign-in", FORM, {"sec-fetch-site": "same-origin"}).status == 303
    assert shown.post("/sign-in", FORM, {"origin": ""}).status == 303


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "9" * 30, "-1", "1e9"])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(shown: Console, length: str):
    assert call(shown.application, "POST", "/sign-in", {"content-length": length}, body=b"a").status == 413


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(shown: Console):
    parts = [b"a" * (MAX_BODY_BYTES // 2)] * 3
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert call(shown.application, "POST", "/sign-in", headers, body=parts).status == 413


def test_a_body_that_does_not_come_is_given_up(shown: Console, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.0)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert call(shown.application, "POST", "/sign-in", headers, body=[]).status == 408


def test_a_body_that_drips_is_given_up_too(shown: Console, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)

    async def dripping() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b"a", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with asyncio.timeout(30):
            await shown.application(scope_of("POST", "/sign-in", headers), receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(dripping()) == 408


@pytest.mark.parametrize("path", ["/models/fraud/versions/", "/models/fraud/releases/", "/live/models/fraud/versions/"])
def test_a_number_with_more_digits_than_python_reads_is_refused(shown: Console, path: str):
    shown.sign_in()
    assert shown.get(path + "9" * 5_000).status == 414
    if not path.startswith("/live"):  # a stream waits for the page to be there
        assert shown.get(path + "9" * 1_000).status == 404


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join([b"a=b"] * 100), b"token=%ff"])
def test_a_broken_form_is_refused(shown: Console, body: bytes):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert call(shown.application, "POST", "/sign-in", headers, body=body).status in (400, 401)


def test_no_path_leads_out_of_the_files_of_the_console(shown: Console):
    for name in ("../app.py", "..%2fapp.py", "vendor/../../app.py", "/etc/passwd"):
        assert shown.get(f"/static/0/{name}").status == 404
