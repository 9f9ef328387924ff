"""Tokens of an identity provider: the good ones name their subject, and every bad one is refused."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.access.subject import How, Kind, Subject
from headgate.runtime.authentication import authenticator, signing_keys
from headgate.runtime.authentication.authenticator import Authenticator
from headgate.runtime.authentication.proof import NotProven, Proof
from headgate.runtime.authentication.signed_tokens import Provider, SignedTokens
from headgate.runtime.authentication.signing_keys import (
    MAX_AGE_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    KeysUnusable,
    SigningKeys,
    parse_keys,
    read_source,
)
from tests.runtime.authentication.provider import (
    AUDIENCE,
    BAD_TOKENS,
    ISSUER,
    NOW_MS,
    ec_key,
    ed_key,
    jwk,
    jwks,
    rsa_key,
    token,
)
from tests.waiting import PATIENCE_SECONDS, until

GOOD = jwks(jwk(rsa_key("k1"), "k1"), jwk(ec_key("k2"), "k2"), jwk(ed_key("k3"), "k3"))


class Source:
    """A JWKS that a test changes, takes away, or holds back. It counts how often it was read."""

    def __init__(self, text: bytes = GOOD) -> None:
        self.text: bytes | None = text
        self.reads = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, source: str) -> bytes:
        self.reads += 1
        assert self.may_answer.wait(PATIENCE_SECONDS)
        if self.text is None:
            raise OSError("the provider does not answer")
        return self.text


class Setting:
    """Tokens with a clock of their own."""

    def __init__(self) -> None:
        self.source, self.now, self.now_ms = Source(), 0.0, NOW_MS
        self.keys = SigningKeys("unused", lambda: self.now, self.source)
        signed = SignedTokens(self.keys, Provider(ISSUER, AUDIENCE), lambda: self.now_ms)
        self.authenticator = Authenticator(lambda sha256: None, lambda: self.now_ms, signed)

    def proof(self, token: str) -> Proof:
        return self.authenticator.proof([f"Bearer {token}"], ())

    def refusal(self, token: str) -> str:
        with pytest.raises(NotProven) as caught:
            self.proof(token)
        return caught.value.slug


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"),
    [(rsa_key("k1"), "k1", "RS256"), (ec_key("k2"), "k2", "ES256"), (ed_key("k3"), "k3", "EdDSA")],
)
def test_a_token_names_its_subject_and_groups(setting: Setting, key: object, key_id: str, algorithm: str):
    proof = setting.proof(token(key, key_id, algorithm, groups=["risk"]))
    assert proof.subject == Subject("ada@example.com", Kind.PERSON, How.JWT, ("risk",))


def test_a_pod_of_kubernetes_is_a_machine(setting: Setting):
    assert setting.proof(token(sub="system:serviceaccount:ml:ci")).subject.kind is Kind.MACHINE


@pytest.mark.parametrize("why", BAD_TOKENS)
def test_a_bad_token_is_refused(setting: Setting, why: str):
    assert setting.refusal(BAD_TOKENS[why]()) == why.split()[0]


def test_a_token_that_was_seen_costs_no_verification_and_ends_with_its_time(setting: Setting):
    seen = token()
    first = setting.proof(seen)
    assert setting.proof(seen) is first
    setting.now_ms = first.expire_time_ms
    assert setting.refusal(seen) == "expired-token"


def test_the_clock_of_the_provider_may_be_a_minute_off_and_not_an_hour(setting: Setting):
    early = token(nbf=NOW_MS // 1000 + 59)
    assert setting.proof(early)
    setting.now_ms -= 3_600_000
    assert setting.refusal(token(exp=NOW_MS // 1000 + 601)) == "token-not-yet-valid"


def test_a_new_key_is_found_and_unknown_ids_cannot_make_the_service_read_often(setting: Setting):
    setting.proof(token())
    setting.source.text = jwks(jwk(rsa_key("k1"), "k1"), jwk(ec_key("k4"), "k4"))
    new = token(ec_key("k4"), "k4", "ES256")
    assert setting.refusal(new) == "unknown-key"
    for number in range(100):
        assert setting.refusal(token(key_id=f"x{number}")) == "unknown-key"
    assert setting.source.reads == 1
    setting.now += RETRY_SECONDS
    assert setting.proof(new)
    assert setting.source.reads == 2


def test_a_token_of_a_key_that_is_gone_is_refused_even_when_it_was_seen(setting: Setting):
    seen = token()
    setting.proof(seen)
    setting.source.text = jwks(jwk(ec_key("k2"), "k2"))
    setting.now += REFRESH_SECONDS + 1
    until(lambda: setting.authenticator.seen([f"Bearer {seen}"], ()) is None, "the new keys")
    assert setting.refusal(seen) == "unknown-key"


def test_a_token_that_was_seen_waits_for_no_provider_that_hangs(setting: Setting):
    seen = token()
    first = setting.proof(seen)
    setting.source.may_answer.clear()
    setting.now += REFRESH_SECONDS + 1
    for _ in range(3):
        assert setting.proof(seen) is first
    until(lambda: setting.source.reads == 2, "the one read")
    setting.source.may_answer.set()


def test_no_more_than_a_bounded_number_of_callers_is_remembered(setting: Setting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(authenticator, "MAX_SEEN", 3)
    for number in range(10):
        setting.proof(token(sub=f"user-{number}"))
    assert len(setting.authenticator._seen) <= 3


def test_while_the_provider_is_away_its_keys_count_for_a_day(setting: Setting):
    seen = token()
    setting.proof(seen)
    setting.source.text = None
    setting.now += MAX_AGE_SECONDS
    assert setting.proof(token(exp=NOW_MS // 1000 + 700))
    setting.now += RETRY_SECONDS
    assert setting.refusal(token(exp=NOW_MS // 1000 + 800)) == "keys-too-old"
    assert setting.refusal(seen) == "keys-too-old"
    setting.source.text = GOOD
    setting.now += RETRY_SECONDS
    assert setting.proof(token(exp=NOW_MS // 1000 + 900))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        jwks({"kty": "oct", "k": "AAAA", "kid": "k1"}),
        jwks(jwk(ec_key("k2"), "k2", use="enc")),
        jwks(jwk(ec_key("k2"), "k2", alg="HS256")),
        jwks({**jwk(ec_key("k2"), "k2"), "kid": 7}),
        jwks({"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"}),
        b'{"keys": [' + b"[" * 100_000,
    ],
)
def test_what_is_no_set_of_signing_keys_is_refused(text: bytes):
    with pytest.raises(KeysUnusable):
        parse_keys(text)


class _Redirecting(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/keys":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(GOOD)
        else:
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    listening = http.server.HTTPServer(("127.0.0.1", 0), _Redirecting)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_keys_come_from_a_url_that_leads_nowhere_else(server: str):
    assert read_source(f"{server}/keys") == GOOD
    with pytest.raises(OSError, match="302"):
        read_source(f"{server}/elsewhere")


def test_keys_come_from_a_file_with_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "keys.json"
    file.write_bytes(GOOD)
    assert read_source(str(file)) == GOOD
    monkeypatch.setattr(signing_keys, "MAX_BYTES", 10)
    with pytest.raises(KeysUnusable, match="more than 10 bytes"):
        read_source(str(file))
