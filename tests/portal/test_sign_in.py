"""Signing in and out: by a token, by a link that works once, and what a session may not outlive."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.portal.sessions import IDLE_SECONDS, LINK_SECONDS, MAX_OF_ONE, Once, Sessions
from services.portal.settings import Settings
from services.portal.sign_in import own_path
from tests.portal.console import ADMINISTRATOR, Console, console


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Console]:
    with console(tmp_path) as running:
        yield running


def test_whoever_has_not_signed_in_is_led_to_the_sign_in_and_back(shown: Console):
    answer = shown.get("/?search=a%26b")
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=%2F%3Fsearch%3Da%2526b")
    back = shown.post("/sign-in", {"token": ADMINISTRATOR, "next": "/?search=a%26b"})
    assert (back.status, back.headers["location"]) == (303, "/?search=a%26b")
    assert shown.get("/").status == 200


def test_the_token_never_reaches_the_browser_again(shown: Console):
    answer = shown.post("/sign-in", {"token": ADMINISTRATOR, "next": "/"})
    cookie = answer.headers["set-cookie"]
    assert ADMINISTRATOR not in cookie
    assert ADMINISTRATOR not in shown.get("/").text
    assert [word in cookie for word in ("__Host-", "HttpOnly", "Secure", "SameSite=lax")] == [True] * 4


@pytest.mark.parametrize("token", ["", "hgt_" + "b" * 43, "a" * 20_000, "tök", "a\nb"])
def test_a_token_that_does_not_hold_signs_nobody_in(shown: Console, token: str):
    answer = shown.post("/sign-in", {"token": token, "next": "/"})
    assert (answer.status, "does not hold" in answer.text, len(shown.sessions)) == (401, True, 0)


def test_a_revoked_token_ends_its_session_at_once(shown: Console):
    shown.give("hgt_" + "c" * 43, facts.ROLE_VIEWER, name="ci")
    shown.sign_in("hgt_" + "c" * 43)
    assert shown.get("/").status == 200
    shown.recorder.send("access/default", commands.RevokeToken(token="ci", reason="lost"))
    assert shown.get("/").status == 303
    assert shown.get("/live/").status == 401


def test_a_link_of_a_program_signs_in_once(shown: Console):
    answer = shown.post("/sign-in/links", {}, {"authorization": f"Bearer {ADMINISTRATOR}", "origin": ""})
    path = answer.text.partition('"path":"')[2].partition('"')[0]
    assert shown.get(path).headers["location"] == "/"
    assert shown.get("/").status == 200
    assert shown.get(path).status == 401


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer hgt_" + "b" * 43}, {"authorization": "nonsense"}])
def test_nobody_gets_a_link_without_a_token_of_its_own(shown: Console, headers: dict[str, str]):
    assert shown.post("/sign-in/links", {}, headers).status == 401
    shown.sign_in()
    assert shown.post("/sign-in/links", {}, headers).status == 401


def test_signing_out_needs_the_word_of_the_page_and_ends_the_session(shown: Console):
    shown.sign_in()
    word = shown.get("/").text.partition('name="word" value="')[2].partition('"')[0]
    assert shown.post("/sign-out", {"word": "guessed"}).status == 403
    assert shown.get("/").status == 200
    kept = shown.cookie
    assert shown.post("/sign-out", {"word": word}).status == 303
    shown.cookie = kept
    assert shown.get("/").status == 303


def test_where_callers_need_no_proof_everybody_is_shown_everything(tmp_path: Path):
    with console(tmp_path, asks=False) as running:
        assert running.get("/").status == 200
        assert running.get("/sign-in").status == 303


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb", "/sign-out"]
)
def test_the_way_back_leads_nowhere_else(path: str):
    assert own_path(path) == "/"


def test_a_session_ends_when_nobody_uses_it_and_when_there_are_too_many():
    now, names = [0.0], iter("abcdefgh")
    sessions = Sessions(lambda: now[0], lambda: next(names), most=2)
    first, second = sessions.begin("one"), sessions.begin("two")
    assert sessions.find(first)
    third = sessions.begin("three")
    assert [bool(sessions.find(name)) for name in (first, second, third)] == [True, False, True]
    now[0] += IDLE_SECONDS + 1
    assert [sessions.find(name) for name in (first, third)] == [None, None]


def test_a_token_that_signs_in_again_and_again_ends_its_own_sessions_alone():
    names = map(str, count())
    sessions = Sessions(lambda: 0.0, lambda: next(names))
    other, first = sessions.begin("other"), sessions.begin("one")
    for _ in range(MAX_OF_ONE):
        newest = sessions.begin("one")
    assert [bool(sessions.find(name)) for name in (other, first, newest)] == [True, False, True]


def test_signing_in_anew_ends_the_session_before(shown: Console):
    shown.sign_in()
    before = shown.cookie
    shown.sign_in()
    assert shown.cookie != before
    shown.cookie = before
    assert shown.get("/").status == 303


@pytest.mark.parametrize(("url", "certificate"), [("https://console.example.com", None), ("", Path("tls.crt"))])
def test_the_cookie_is_for_encrypted_connections_also_where_something_before_the_console_encrypts(
    url: str, certificate: Path | None
):
    assert Settings(log="sqlite://log.db", console_url=url, tls_certificate=certificate).browsers_encrypt
    assert not Settings(log="sqlite://log.db").browsers_encrypt


def test_a_link_ends_after_its_time_and_gives_way_to_newer_ones():
    now = [0.0]
    links: Once[str] = Once(lambda: now[0], most=2)
    for name in "abc":
        links.put(name, f"token of {name}")
    assert [links.take(name) for name in "abb"] == [None, "token of b", None]
    now[0] += LINK_SECONDS
    assert links.take("c") is None
