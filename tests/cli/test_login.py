"""A person and a machine log in at a provider, and their commands renew the token while the provider agrees."""

import json
import math
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from headgate.client import login as logins
from headgate.client.identity_provider import USUAL_TOKEN_SECONDS, LoginFailed, tokens_of
from headgate.client.login import Login, login_file, read_login
from services.registry import app as registry
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate
from tests.client.issuer import MACHINE, SECRET, Issuer, issuing
from tests.runtime.authentication.provider import AUDIENCE
from tests.tls import Authority, tls_files


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def headgate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headgate:
    """Runs `headgate ARGUMENTS` as a user with an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return partial(run_headgate, monkeypatch, capsys)


@pytest.fixture
def asking(issuer: Issuer, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options for a registry with TLS that takes this provider's tokens."""
    authority = Authority.new(tmp_path, "authority")
    files = tls_files(authority, tmp_path)
    settings = Settings(
        log=f"sqlite://{tmp_path}/log.db",
        port=0,
        tls_certificate=files.certificate,
        tls_key=files.key,
        authentication=True,
        authentication_administrators=f"ada@example.com,{MACHINE}",
        authentication_keys=f"{issuer.url}/jwks",
        authentication_issuer=issuer.url,
        authentication_audience=AUDIENCE,
    )
    running = registry.build(settings)
    yield ("--registry", f"127.0.0.1:{running.start()}", "--tls-ca", str(authority.file))
    running.stop(5)


def end_token() -> None:
    """What the login holds has ended, as far as its user knows."""
    kept = json.loads(login_file().read_text())
    login_file().write_text(json.dumps({**kept, "expire_time_ms": 1}))


def present() -> Login:
    found = read_login(login_file())
    assert found is not None
    return found


def test_a_person_agrees_in_a_browser_and_is_known_until_the_provider_ends_it(
    issuer: Issuer, headgate: Headgate, asking: tuple[str, ...]
) -> None:
    issuer.answers = ["authorization_pending"]
    code, _, err = headgate("login", "--issuer", issuer.url, "--client-id", "headgate")
    assert (code, f"open {issuer.url}/agree and enter WDJB-MJHT" in err) == (0, True), err
    assert f"logged in as ada@example.com; the token is in {login_file()}" in err
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
    assert headgate(*asking, "model", "create", "fraud")[0] == 0
    fact = json.loads(headgate(*asking, "model", "history", "fraud", "-o", "json")[1])[0]["fact"]
    assert (fact["actor"], fact["proven_by"]) == ("ada@example.com", "jwt")
    first = present()
    end_token()
    assert headgate(*asking, "model", "list")[0] == 0
    assert (present().token != first.token, present().refresh_token != first.refresh_token) == (True, True)
    end_token()
    issuer.refresh_tokens = set()
    code, _, err = headgate(*asking, "model", "list")
    assert (code, "has ended: log in again with `headgate login`" in err, "it was used" in err) == (1, True, True)
    assert headgate(*asking, "login", "--issuer", issuer.url, "--client-id", "headgate")[0] == 0
    assert headgate("logout")[0] == 0
    assert "needs a proof of who you are" in headgate(*asking, "model", "list")[2]


def test_a_machine_logs_in_by_its_secret_and_again_by_itself(
    issuer: Issuer, headgate: Headgate, asking: tuple[str, ...], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    words = ("login", "--issuer", issuer.url, "--client-id", MACHINE, "--client-secret-file", str(secret))
    assert headgate(*words)[0] == 0
    assert SECRET not in login_file().read_text()
    end_token()
    assert headgate(*asking, "model", "list")[0] == 0
    assert [each["grant_type"] for each in issuer.asked] == ["client_credentials"] * 2
    secret.write_text("another")
    end_token()
    code, _, err = headgate(*asking, "model", "list")
    assert (code, "has ended: log in again" in err, "another" in err) == (1, True, False)


def test_the_token_goes_nowhere_without_tls(
    issuer: Issuer, headgate: Headgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert headgate("login", "--issuer", issuer.url, "--client-id", "headgate")[0] == 0
    monkeypatch.setattr(logins, "present_token", lambda *_: pytest.fail("it was read"))
    assert headgate("--registry", "127.0.0.1:1", "model", "list")[0] == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"issuer": "https://evil.example.com"}, "says that it is https://evil.example.com"),
        ({"token_endpoint": "http://evil.example.com/token"}, "expected a URL with https"),
        ({"device_authorization_endpoint": ""}, "has no login by device code"),
    ],
)
def test_a_provider_that_cannot_be_used_is_refused_before_a_code_is_shown(
    issuer: Issuer, headgate: Headgate, changed: dict[str, str], message: str
) -> None:
    issuer.document = changed
    code, _, err = headgate("login", "--issuer", issuer.url, "--client-id", "headgate")
    assert (code, message in err, "WDJB" in err) == (1, True, False), err


@pytest.mark.parametrize(
    ("answer", "message"), [("access_denied", "access_denied"), ("expired_token", "expired_token")]
)
def test_a_person_who_does_not_agree_is_not_logged_in(
    issuer: Issuer, headgate: Headgate, answer: str, message: str
) -> None:
    issuer.answers = ["authorization_pending", answer]
    code, _, err = headgate("login", "--issuer", issuer.url, "--client-id", "headgate")
    assert (code, message in err, login_file().exists()) == (1, True, False), err


@pytest.mark.parametrize("issuer_name", ["http://login.example.com", "ftp://x", "https://"])
def test_no_secret_goes_over_a_network_in_plain_text(headgate: Headgate, issuer_name: str) -> None:
    code, _, _ = headgate("login", "--issuer", issuer_name, "--client-id", "headgate")
    assert code == 1


def test_the_id_token_stands_in_for_an_access_token_that_only_its_maker_reads() -> None:
    assert tokens_of({"access_token": "opaque", "id_token": "a.b.c"}).token == "a.b.c"
    with pytest.raises(LoginFailed, match="no signed token"):
        tokens_of({"access_token": "opaque", "expires_in": True})


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, -1, 10**400, True, "60", None])
def test_a_provider_that_says_nonsense_of_how_long_a_token_holds_is_taken_to_say_nothing(seconds: object) -> None:
    assert tokens_of({"access_token": "a.b.c", "expires_in": seconds}).seconds == USUAL_TOKEN_SECONDS
    assert tokens_of({"access_token": "a.b.c", "expires_in": 60.5}).seconds == 60
