"""Secrets that show by their form what they are come into no record, wherever they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain import known_tokens
from headgate.domain.credentials import as_it_may_be_kept, hides_nothing, without_credentials
from headgate.domain.known_tokens import without_tokens
from headgate.domain.repository import broken_rule

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = {
    "ghp_" + LETTERS: "***",
    "github_pat_" + LETTERS: "***",
    "glpat-" + LETTERS: "***",
    "AKIA" + "ABCDEFGH12345678": "***",
    "xoxb-" + LETTERS: "***",
    "hf_" + LETTERS: "***",
    "hgt_" + LETTERS + "A-_B123": "***",
    "sk-" + LETTERS: "***",
    "sk-ant-" + LETTERS: "***",
    "sk_live_" + LETTERS: "***",
    "eyJ" + LETTERS + ".eyJ" + LETTERS + "." + LETTERS: "***",
    "https://hooks.slack.com/services/T0/B0/" + LETTERS: "https://hooks.slack.com/services/***",
    "Authorization: Basic " + LETTERS: "Authorization: Basic ***",
    '{"authorization": "Bearer ' + LETTERS + '"}': '{"authorization": "Bearer ***"}',
    "curl -u bob:hunter2 https://git.example.com": "curl -u *** https://git.example.com",
    "user=bob;pwd=hunter2": "user=bob;pwd=***",
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----": "-----BEGIN RSA PRIVATE KEY----- ***",
}
HARMLESS = [
    "0af" * 21,
    "sha256:" + "a1b2" * 16,
    "sk-learn and scikit-learn-intelex",
    "ghp_ is how a token of GitHub begins",
    "PWD=/srv/model",
    "the bearer of news",
    "python -u train.py --user",
    "the authorization basics",
    "eyJ",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", ["{}", "it needs {} to run", "first line\n{}\nlast line"])
def test_a_known_token_is_masked_and_nothing_else(secret: str, frame: str) -> None:
    text = frame.format(secret)
    masked = frame.format(SECRETS[secret])
    assert not hides_nothing(text)
    assert without_credentials(text) == masked
    assert without_credentials(masked) == masked
    assert hides_nothing(as_it_may_be_kept(text))


@given(st.from_regex(known_tokens._TOKEN, fullmatch=True))
def test_every_form_of_a_token_is_masked(token: str) -> None:
    assert without_tokens(token) == "***"


@pytest.mark.parametrize("host", ["HOOKS.slack.com", "hoo\u212as.\u017flack.com"])
def test_the_address_of_a_hook_is_known_in_any_letters(host: str) -> None:
    assert without_tokens(f"https://{host}/services/T0/B0/{LETTERS}") == f"https://{host}/services/***"


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_that_only_looks_like_a_token_stays(text: str) -> None:
    assert without_credentials(text) == text


@pytest.mark.parametrize("token", ["ghp_" + LETTERS, "glpat-" + LETTERS])
def test_no_repository_has_a_token_in_its_path(token: str) -> None:
    assert broken_rule(f"https://git.example.com/{token}/model.git")


@given(st.text(st.sampled_from("-_./: @abcABC019=*\n"), max_size=80), st.sampled_from(sorted(SECRETS)))
def test_what_is_masked_once_stays_as_it_is(around: str, secret: str) -> None:
    masked = without_tokens(f"{around} {secret}\n{around}")
    assert without_tokens(masked) == masked
