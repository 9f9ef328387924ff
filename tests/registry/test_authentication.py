"""A registry whose callers must prove who they are, and the command line that does it with a token from a file."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.client.stubs import Stubs
from headgate.domain.names import model_stream
from headgate.runtime.settings import SettingsError
from headgate.v1 import registry_service_pb2 as registry_service
from services.registry import app as registry
from services.registry.app import Registry
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate
from tests.runtime.authentication.provider import ISSUER, jwk, jwks, rsa_key, token
from tests.waiting import until

ROOT = "root@example.com"


def signed(subject: str, **more: object) -> str:
    now = int(time.time())
    return token(sub=subject, nbf=now - 60, exp=now + 600, **more)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("registry")
    (folder / "keys.json").write_bytes(jwks(jwk(rsa_key("k1"), "k1")))
    return Settings(
        log=f"sqlite://{folder / 'log.db'}",
        port=0,
        authentication=True,
        authentication_administrators=ROOT,
        authentication_keys=str(folder / "keys.json"),
        authentication_issuer=ISSUER,
    )


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[tuple[Registry, str]]:
    built = registry.build(settings)
    yield built, f"127.0.0.1:{built.start()}"
    built.stop(5)


@pytest.fixture
def headgate(
    running: tuple[Registry, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    """Runs `headgate ARGUMENTS` as root, whose token lies in .headgate/token."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".headgate").mkdir()
    (tmp_path / ".headgate" / "token").write_text(signed(ROOT) + "\n")
    return partial(run_headgate, monkeypatch, capsys, "--registry", running[1], "--actor", "mallory")


def stubs_of(running: tuple[Registry, str], secret: str, actor: str = "") -> Stubs:
    return Stubs(running[1], "127.0.0.1:1", actor, token=secret)


def test_a_role_a_token_and_a_person_at_work(headgate: Headgate, running: tuple[Registry, str], tmp_path: Path):
    assert headgate("access", "grant", "group:risk", "publisher", "--models", "fraud*")[0] == 0
    code, secret, _ = headgate("token", "create", "ci", "--role", "viewer", "--models", "fraud", "--expires", "1h")
    assert code == 0
    ada = tmp_path / "ada"
    ada.write_text(signed("ada@example.com", groups=["risk"]))
    assert headgate("--token-file", str(ada), "model", "create", "fraud")[0] == 0
    code, _, err = headgate("--token-file", str(ada), "model", "create", "churn")
    assert (code, "you may not do this" in err) == (1, True)
    pipeline = tmp_path / "ci"
    pipeline.write_text(secret)
    assert headgate("--token-file", str(pipeline), "model", "get", "fraud")[0] == 0
    assert headgate("--token-file", str(pipeline), "model", "label", "fraud", "team", "risk")[0] == 1
    code, out, _ = headgate("model", "history", "fraud", "-o", "json")
    record = json.loads(out)[0]["fact"]
    assert (record["actor"], record["proven_by"]) == ("ada@example.com", "jwt")
    assert headgate("token", "revoke", "ci")[0] == 0
    code, _, err = headgate("--token-file", str(pipeline), "model", "get", "fraud")
    assert (code, "this call needs a proof of who you are" in err) == (1, True)


def test_without_a_token_nothing_is_answered_and_no_name_helps(running: tuple[Registry, str]):
    with Stubs(running[1], "127.0.0.1:1", ROOT) as stubs, pytest.raises(grpc.RpcError) as caught:
        stubs.registry.CreateModel(registry_service.CreateModelRequest(model="x"))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_a_grant_that_is_revoked_while_a_command_is_decided_lets_nothing_through(
    headgate: Headgate, running: tuple[Registry, str]
):
    """The command has passed the check at the server's entrance, and waits for others on its stream."""
    built, _ = running
    assert headgate("access", "grant", "bob@example.com", "publisher", "--name", "bob")[0] == 0
    decider = built.decider
    ended: list[grpc.StatusCode] = []

    def create() -> None:
        with stubs_of(running, signed("bob@example.com")) as stubs, pytest.raises(grpc.RpcError) as caught:
            stubs.registry.CreateModel(registry_service.CreateModelRequest(model="late"))
        ended.append(caught.value.code())  # type: ignore[attr-defined]

    with decider.locks.hold(model_stream("late")):
        caller = threading.Thread(target=create)
        caller.start()
        until(lambda: decider.locks.users(model_stream("late")) == 2)
        assert headgate("access", "revoke", "bob")[0] == 0
    caller.join()
    assert ended == [grpc.StatusCode.PERMISSION_DENIED]
    assert headgate("model", "get", "late")[0] == 3


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"authentication_issuer": ""}, "HEADGATE_AUTHENTICATION_KEYS needs HEADGATE_AUTHENTICATION_ISSUER"),
        ({"authentication_keys": "/no/such/file"}, "HEADGATE_AUTHENTICATION_KEYS=/no/such/file: "),
    ],
)
def test_settings_that_prove_nobody_end_the_start(settings: Settings, changed: dict[str, str], problem: str):
    with pytest.raises(SettingsError, match=problem):
        registry.build(replace(settings, **changed))


def test_a_token_goes_to_another_machine_with_tls_alone(headgate: Headgate):
    code, _, err = headgate("--gateway", "gateway.example.com:7404", "model", "list")
    assert (code, "a token goes to another machine only with TLS; give --tls-ca" in err) == (2, True)


def test_a_token_file_without_a_token_is_refused_without_showing_it(headgate: Headgate, tmp_path: Path):
    (tmp_path / "two").write_text("one two")
    code, _, err = headgate("--token-file", str(tmp_path / "two"), "model", "list")
    assert (code, "expected one token" in err, "one two" in err) == (2, True, False)
    assert headgate("--token-file", str(tmp_path / "none"), "model", "list")[0] == 2
