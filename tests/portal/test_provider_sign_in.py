"""Signing in at a real identity provider on the loopback: there and back, renewal, and what signs nobody in."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.client.identity_provider import LoginFailed, Tokens
from headgate.runtime.authentication.signed_tokens import IdTokens, Provider, SignedTokens
from headgate.runtime.authentication.signing_keys import SigningKeys
from headgate.runtime.no_redirect import NoRedirect
from headgate.runtime.settings import SettingsError, from_env
from services.portal.oidc.attempt import MAX_PATH_CHARACTERS, Attempt, attempt_of
from services.portal.oidc.parts import provider_parts
from services.portal.oidc.provider_client import MAX_CALLS, ConsoleClient, ProviderClient
from services.portal.oidc.renewal import RETRY_SECONDS, Renewal
from services.portal.oidc.routes import BACK, BEGIN, ProviderParts
from services.portal.sessions import MAX_OF_ONE, Renewed, Sessions
from services.portal.settings import Settings
from tests.client.issuer import Issuer, issuing
from tests.histories.recorder import new_recorder
from tests.portal.asgi import Answer
from tests.portal.console import Console
from tests.runtime.authentication.provider import AUDIENCE

CONSOLE_URL = "https://console.example.com"
CLIENT = "headgate-console"


@dataclass
class Browser:
    """A browser at a console that knows the provider. One clock stands for the log's time and the portal's."""

    console: Console
    issuer: Issuer
    parts: ProviderParts

    def pass_seconds(self, seconds: int) -> None:
        self.console.recorder.now_ms += seconds * 1000

    def begin(self, next_path: str = "/") -> str:
        """The provider's address to which the console leads."""
        answer = self.console.get(f"{BEGIN}?next={next_path}")
        assert answer.status == 303, answer.text
        return answer.headers["location"]

    def agreed(self, address: str) -> str:
        """The console's own address to which the provider leads back."""
        try:
            urllib.request.build_opener(NoRedirect).open(address)
        except HTTPError as redirect:
            back = redirect.headers["location"]
        assert back.startswith(CONSOLE_URL + BACK + "?")
        return back.removeprefix(CONSOLE_URL)

    def sign_in(self) -> Answer:
        return self.console.get(self.agreed(self.begin()))

    def is_signed_in(self) -> bool:
        return self.console.get("/").status == 200


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with issuing() as issuer, new_recorder(tmp_path) as (recorder, _):
        issuer.now = lambda: recorder.now_ms / 1000
        names = (f"secret-{number}" for number in range(100))
        keys = SigningKeys(f"{issuer.url}/jwks")
        client = ConsoleClient(issuer.url, CLIENT, CONSOLE_URL + BACK, None)
        parts = ProviderParts(
            issuer.url,
            CONSOLE_URL,
            ProviderClient(client, issuer.now),
            IdTokens(keys, issuer.url, CLIENT, lambda: recorder.now_ms),
            lambda: next(names),
            issuer.now,
        )
        signed = SignedTokens(keys, Provider(issuer.url, AUDIENCE), lambda: recorder.now_ms)
        yield Browser(Console(recorder, signed=signed, provider=parts), issuer, parts)


def test_a_person_signs_in_at_the_provider_and_comes_back_to_the_page(browser: Browser):
    page = browser.console.get("/sign-in?next=%2Flog").text
    assert f'<a class="button primary" href="{BEGIN}?next=/log">Continue with 127.0.0.1:' in page
    address = browser.begin("/log")
    asked = parse_qs(urlsplit(address).query)
    assert asked["redirect_uri"] == [f"{CONSOLE_URL}/sign-in/provider/back"]
    assert asked["scope"] == ["openid offline_access"]
    answer = browser.console.get(browser.agreed(address))
    assert (answer.status, answer.headers["location"]) == (303, "/log")
    assert "ada@example.com" in browser.console.get("/log").text


def test_the_browser_holds_one_short_lived_cookie_of_its_own_until_it_is_back(browser: Browser):
    cookie = browser.console.get(BEGIN).cookies[0]
    words = ("__Host-headgate-sign-in=", "HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600")
    assert [word in cookie for word in words] == [True] * 6
    browser.sign_in()
    assert "sign-in" not in browser.console.cookie


def test_one_person_has_a_bounded_number_of_sessions_whatever_tokens_they_have():
    names = (f"name-{number}" for number in range(1_000))
    sessions = Sessions(lambda: 0.0, lambda: next(names))
    renewed = [Renewed("ada@example.com", f"token-{number}".lower) for number in range(MAX_OF_ONE + 1)]
    other = sessions.begin("token", Renewed("bob@example.com", "token".lower))
    found = [sessions.begin(each.token(), each) for each in renewed]
    assert [bool(sessions.find(name)) for name in (other, *found[:2])] == [True, False, True]


def test_signing_out_ends_the_session(browser: Browser):
    browser.sign_in()
    word = browser.console.get("/").text.partition('name="word" value="')[2].partition('"')[0]
    assert browser.console.post("/sign-out", {"word": word}).status == 303
    assert not browser.is_signed_in()


def test_a_code_counts_once(browser: Browser):
    address = browser.begin()
    back, kept = browser.agreed(address), browser.console.cookie
    assert browser.console.get(back).status == 303
    browser.console.cookie = kept
    answer = browser.console.get(back)
    assert (answer.status, "invalid_grant: the code was used" in answer.text) == (401, True)
    assert not browser.is_signed_in()


@pytest.mark.parametrize("kept", ["", "__Host-headgate-sign-in=another.%2F", "__Host-headgate-sign-in="])
def test_the_answer_to_another_browser_signs_nobody_in_and_asks_the_provider_nothing(browser: Browser, kept: str):
    back = browser.agreed(browser.begin())
    browser.console.cookie = kept
    answer = browser.console.get(back)
    assert (answer.status, "not of a sign-in that this browser has begun" in answer.text) == (401, True)
    assert (browser.issuer.asked, browser.is_signed_in()) == ([], False)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": "another"}, "wrong-nonce"),
        ({"nonce": 1}, "wrong-nonce"),
        ({"nonce": None}, "missing-claim"),
        ({"aud": "another"}, "wrong-audience"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "wrong-audience"),
        ({"iss": "https://evil.example.com"}, "wrong-issuer"),
        ({"exp": 1}, "expired-token"),
        ({"key_id": "k9"}, "unknown-key"),
    ],
)
def test_an_id_token_that_is_not_of_this_sign_in_signs_nobody_in(browser: Browser, changed: dict[str, Any], why: str):
    browser.issuer.changed = changed
    answer = browser.sign_in()
    assert (answer.status, why in answer.text, browser.is_signed_in()) == (401, True, False)


def test_a_token_for_another_audience_signs_nobody_in(browser: Browser):
    browser.issuer.access_token_is_opaque = True  # so the ID token is shown, which is for the console alone
    answer = browser.sign_in()
    assert (answer.status, "HEADGATE_AUTHENTICATION_AUDIENCE" in answer.text) == (401, True)
    assert not browser.is_signed_in()


def test_the_id_token_counts_where_it_is_for_headgate_too(browser: Browser):
    browser.issuer.access_token_is_opaque = True
    browser.issuer.changed = {"aud": [CLIENT, AUDIENCE], "azp": CLIENT}
    assert (browser.sign_in().status, browser.is_signed_in()) == (303, True)


def test_what_the_provider_says_of_an_error_is_shown_as_text(browser: Browser):
    state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
    answer = browser.console.get(f"{BACK}?state={state}&error=access_denied&error_description=%3Cscript%3Ex%00")
    assert (answer.status, "<script>x" in answer.text, "\0" in answer.text) == (401, False, False)
    assert "access_denied: &lt;script&gt;x" in answer.text
    assert not browser.is_signed_in()


def test_what_another_site_calls_an_error_is_not_shown(browser: Browser):
    browser.begin()
    answer = browser.console.get(f"{BACK}?state=guessed&error=call+us")
    assert (answer.status, "call us" in answer.text) == (401, False)


@pytest.mark.parametrize("more", ["&iss=https%3A%2F%2Fevil.example.com&code=c", "", "&code=" + "c" * 5_000])
def test_an_answer_of_another_provider_or_without_a_code_signs_nobody_in(browser: Browser, more: str):
    state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
    assert browser.console.get(f"{BACK}?state={state}{more}").status == 401
    assert (browser.issuer.asked, browser.is_signed_in()) == ([], False)


def test_a_provider_that_is_away_is_named_and_leaves_the_other_ways_to_sign_in(browser: Browser):
    browser.issuer.document = {"issuer": "another"}
    answer = browser.console.get(f"{BEGIN}?next=/log")
    assert (answer.status, "says that it is another" in answer.text, 'name="token"' in answer.text) == (502, True, True)
    for unusable in ("http://evil.example.com/", "https://[", "https://"):
        browser.issuer.document = {"authorization_endpoint": unusable}
        assert "expected a URL with https" in browser.console.get(BEGIN).text
    browser.issuer.document = {"authorization_endpoint": ""}
    assert "has no login by a browser" in browser.console.get(BEGIN).text


def test_a_client_with_a_secret_shows_it_at_the_token_endpoint_alone(browser: Browser, tmp_path: Path):
    file = tmp_path / "secret"
    client = ConsoleClient(browser.issuer.url, CLIENT, CONSOLE_URL + BACK, file)
    asking, attempt = ProviderClient(client, browser.issuer.now), Attempt("s", "/")
    browser.issuer.client_secret = "secret"
    file.write_text("secret\n")
    back = parse_qs(urlsplit(browser.agreed(asking.address(attempt))).query)
    found = asking.tokens(back["code"][0], attempt)
    assert "client_id" not in browser.issuer.asked[-1]
    assert asking.renewed(found).refresh_token not in ("", found.refresh_token)
    file.write_text("another")
    back = parse_qs(urlsplit(browser.agreed(asking.address(attempt))).query)
    with pytest.raises(LoginFailed, match="invalid_client"):
        asking.tokens(back["code"][0], attempt)


def test_the_token_is_renewed_before_it_ends_while_the_provider_agrees(browser: Browser):
    browser.sign_in()
    for _ in range(3):
        browser.pass_seconds(browser.issuer.token_seconds - 10)
        assert browser.is_signed_in()
    assert [form["grant_type"] for form in browser.issuer.asked] == ["authorization_code", *["refresh_token"] * 3]
    browser.issuer.refresh_tokens = set()
    browser.pass_seconds(browser.issuer.token_seconds - 10)
    assert browser.is_signed_in()  # what it has holds until its end
    browser.pass_seconds(10 + 60)
    assert not browser.is_signed_in()


def test_a_person_without_a_renewal_signs_in_again_when_the_token_ends():
    now = [0.0]
    renewal = Renewal(Tokens("a.b.c", 60), lambda _: pytest.fail("it was asked"), lambda: now[0])
    now[0] = 1_000
    assert renewal.token() == "a.b.c"  # which proves nothing any more


def test_a_provider_that_is_away_for_a_moment_ends_no_session():
    now, tried = [0.0], list[float]()

    def renew(tokens: Tokens) -> Tokens:
        tried.append(now[0])
        if len(tried) < 3:
            raise LoginFailed("it is away")
        return Tokens("d.e.f", 60, "r1")

    renewal = Renewal(Tokens("a.b.c", 60, "r0"), renew, lambda: now[0])
    found = []
    for now[0] in (0, 29, 30, 31, 30 + RETRY_SECONDS, 30 + 2 * RETRY_SECONDS):
        found.append(renewal.token())
    assert (found, tried) == (["a.b.c"] * 5 + ["d.e.f"], [30, 30 + RETRY_SECONDS, 30 + 2 * RETRY_SECONDS])


def test_a_provider_that_hangs_holds_up_a_bounded_number_of_requests(browser: Browser):
    client = browser.parts.client
    for _ in range(MAX_CALLS):
        client._calls.acquire()
    answer = browser.console.get(BEGIN)
    assert (answer.status, "try again in a moment" in answer.text) == (502, True)
    client._calls.release()
    assert browser.sign_in().status == 303


@given(st.text(min_size=1, max_size=20), st.text(max_size=200).map(lambda text: f"/{text}"))
def test_an_attempt_is_read_from_its_cookie_again(secret: str, path: str):
    name = secret.encode(errors="surrogatepass").hex()
    attempt = Attempt(name, path.encode(errors="replace").decode())
    found = attempt_of(attempt.cookie)
    assert found is not None
    assert found.has_state(attempt.state)
    assert found.next_path in (attempt.next_path, "/")
    assert len({attempt.state, attempt.nonce, attempt.verifier, attempt.challenge}) == 4
    assert attempt_of(Attempt(name, "/" * (MAX_PATH_CHARACTERS + 1)).cookie) == Attempt(name, "/")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"AUTHENTICATION": "false"}, "needs HEADGATE_AUTHENTICATION=true"),
        ({"AUTHENTICATION_KEYS": ""}, "needs HEADGATE_AUTHENTICATION_KEYS"),
        ({"CONSOLE_URL": ""}, "needs HEADGATE_CONSOLE_URL"),
        ({"AUTHENTICATION_ISSUER": "http://login.example.com"}, "with https"),
        ({"CONSOLE_CLIENT_SECRET": "/does/not/exist"}, "HEADGATE_CONSOLE_CLIENT_SECRET: "),
        ({"CONSOLE_SCOPE": "profile"}, "openid among them"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(changed: dict[str, str], problem: str):
    good = {
        "LOG": "sqlite:///log.db",
        "PORT": "0",
        "AUTHENTICATION": "true",
        "AUTHENTICATION_KEYS": "https://login.example.com/jwks",
        "AUTHENTICATION_ISSUER": "https://login.example.com",
        "CONSOLE_URL": f"{CONSOLE_URL}/",
        "CONSOLE_CLIENT_ID": CLIENT,
    }

    def built(values: dict[str, str]) -> ProviderParts | None:
        settings = from_env(Settings, {f"HEADGATE_{name}": value for name, value in values.items()})
        return provider_parts(settings, lambda: "name", lambda: 0)

    found = built(good)
    assert found is not None
    assert found.console_url == CONSOLE_URL
    assert built({**good, "CONSOLE_CLIENT_ID": ""}) is None
    with pytest.raises(SettingsError, match=problem):
        built({**good, **changed})
