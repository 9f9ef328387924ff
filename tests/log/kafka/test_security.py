"""A broker that requires TLS and a password. The options in the address reach it, and a wrong option is reported."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from headgate.log.kafka.client import _Reasons
from headgate.log.open import open_log
from headgate.log.port import LogError, LogRefused, LogUnavailable, Message, Record, Topic
from tests.conftest import available
from tests.kafka_broker import KafkaBroker, Lock
from tests.log.test_startup import Service
from tests.tls import Authority
from tests.waiting import until

USER, PASSWORD = "headgate", "c0rrect-horse"
TOPIC = Topic("topic", -1, 1)

pytestmark = pytest.mark.kafka


@dataclass(frozen=True)
class Secured:
    """The listener, and everything that a client needs to connect to it."""

    address: str
    options: dict[str, str]
    stranger: Authority

    def url(self, **other: str) -> str:
        return f"kafka://{self.address}?{urlencode({**self.options, **other})}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority.new(folder, "authority"), Authority.new(folder, "stranger")
    (folder / "password").write_text(f"{PASSWORD}\n")
    broker = available(lambda: KafkaBroker(lock=Lock(authority.server_store(folder), USER, PASSWORD)))
    try:
        broker.start()
        options = {
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(authority.file),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": USER,
            "sasl_plain_password_file": str(folder / "password"),
        }
        yield Secured(broker.locked_address, options, stranger)
    finally:
        broker.close()


def test_every_client_uses_the_credentials_and_the_authority_in_the_address(secured: Secured) -> None:
    log = open_log(secured.url())
    log.create_topics([TOPIC])
    written = log.append(Message(TOPIC.name, b"k", b"v"))
    assert [record.value for record in log.read(TOPIC.name, 0, written.offset)] == [b"v"]
    consumed: list[Record] = []
    with log.consumer(TOPIC.name, "group", "member") as consumer:
        until(lambda: bool(consumed.extend(consumer.poll(0.5)) or consumed), "the record is consumed")
        consumer.commit(consumed)
    assert log.committed(TOPIC.name, "group") == {0: written.offset + 1}
    log.close()


@pytest.fixture
def short_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few attempts are enough for these tests."""
    monkeypatch.setattr("headgate.log.kafka.client.BOOTSTRAP_SECONDS", 2.5)


@pytest.mark.usefixtures("short_bootstrap")
def test_a_wrong_password_is_refused_at_once_and_never_shown(secured: Secured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wr0ng-horse")
    with pytest.raises(LogRefused, match="SaslAuthenticationFailed") as refused:
        open_log(secured.url(sasl_plain_password_file=str(wrong)))
    assert "wr0ng-horse" not in str(refused.value)


def test_a_service_with_a_wrong_password_ends_with_77_and_never_shows_it(secured: Secured, tmp_path: Path) -> None:
    options = {name: value for name, value in secured.options.items() if name != "sasl_plain_password_file"}
    url = f"kafka://{secured.address}?{urlencode({**options, 'sasl_plain_password': 'wr0ng-horse'})}"
    service = Service("registry", tmp_path, url, wait_seconds=300)
    try:
        assert service.ended() == 77
    finally:
        service.kill()
    assert "SaslAuthenticationFailed" in service.logged()
    assert "wr0ng-horse" not in service.logged()
    assert "Traceback" not in service.logged()


@pytest.mark.usefixtures("short_bootstrap")
def test_a_broker_with_a_certificate_of_another_authority_is_refused(secured: Secured) -> None:
    with pytest.raises(LogRefused, match="CERTIFICATE_VERIFY_FAILED"):
        open_log(secured.url(ssl_cafile=str(secured.stranger.file)))


@pytest.mark.usefixtures("short_bootstrap")
def test_a_client_without_tls_cannot_connect_and_the_error_names_the_address(secured: Secured) -> None:
    with pytest.raises(LogUnavailable, match=f"no connection to {secured.address}"):
        open_log(f"kafka://{secured.address}")


def test_a_refusal_stays_the_reason_when_another_client_of_the_process_fails_later() -> None:
    reasons = _Reasons()
    for reason in ("Handshake failed: CERTIFICATE_VERIFY_FAILED", "111 ECONNREFUSED"):
        reasons._keep(ConnectionError(reason))
    assert "CERTIFICATE_VERIFY_FAILED" in str(reasons.last)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("ssl_cafile", "/nowhere/ca.pem", "ssl_cafile: the file /nowhere/ca.pem does not exist"),
        (
            "sasl_plain_password_file",
            "/nowhere/password",
            "sasl_plain_password_file: the file /nowhere/password does not",
        ),
        ("proxy_url", "socks5://user:secret@proxy:99999", "^proxy_url: a port is from 1 to 65535$"),
        ("security_protocol", "TLS", "expected one of PLAINTEXT, SSL"),
        ("sasl_mechanism", "SCRAM", "expected one of PLAIN, SCRAM-SHA-256"),
    ],
)
def test_a_wrong_option_is_reported_before_any_connection(option: str, value: str, error: str) -> None:
    with pytest.raises(LogError, match=error):
        open_log(f"kafka://127.0.0.1:1?{urlencode({option: value})}")
