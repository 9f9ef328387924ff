"""A registry whose callers must prove who they are, and the command line that does it with a token from a file."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from headgate.client.stubs import Stubs
from headgate.domain.names import model_stream
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message as LogMessage
from headgate.runtime.settings import SettingsError
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from services.registry import app as registry
from services.registry.app import Registry
from services.registry.decider import Decided
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate
from tests.domain.scenario import REPOSITORY, code_tested, commit, report, trained, training
from tests.histories.recorder import FIELDS
from tests.registry.conftest import read_all
from tests.registry.test_inbox import CHANGE, data
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
    """Runs `headgate ARGUMENTS` as root, whose token lies in a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").write_text(signed(ROOT) + "\n")
    options = ("--registry", running[1], "--actor", "mallory", "--token-file", str(tmp_path / "root"))
    return partial(run_headgate, monkeypatch, capsys, *options)


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


def test_production_takes_a_version_after_others_than_its_author_have_approved_it_by_their_roles(
    headgate: Headgate, running: tuple[Registry, str], tmp_path: Path
):
    def run(person: str, *arguments: str) -> tuple[int, str, str]:
        (tmp_path / person).write_text(signed(f"{person}@example.com"))
        return headgate("--token-file", str(tmp_path / person), *arguments)

    (tmp_path / "policy.toml").write_text("[approvals]\napprover = 1\noperator = 1\n")
    code, out, _ = headgate("environment", "set-policy", "guarded", "policy.toml")
    assert (code, "operator = 1, approver = 1" in out) == (0, True)
    assert run("eve", "environment", "set-policy", "guarded", "policy.toml")[0] == 1
    for person, role in (("eve", "publisher"), ("eve", "approver"), ("grace", "approver"), ("alan", "approver")):
        assert headgate("access", "grant", f"{person}@example.com", role, "--name", f"{person}-{role}")[0] == 0
    assert headgate("access", "grant", "alan@example.com", "operator", "--environments", "guarded")[0] == 0
    with stubs_of(running, signed("eve@example.com")) as stubs:
        create = registry_service.CreateVersionRequest(parent="models/guarded", repository=REPOSITORY, commit=commit(1))
        stubs.registry.CreateVersion(create)
    for number, command in enumerate(reports("guarded")):
        body = {FIELDS[type(command).__name__]: command}
        sent = commands.Command(command_id=f"work-{number}", stream="models/guarded", actor="worker", **body)
        assert isinstance(running[0].decider.execute(sent), Decided)
    code, _, err = run("eve", "version", "approve", "guarded/1")
    assert (code, "you created version 1 of guarded; guarded asks for somebody else" in err) == (1, True)
    assert run("grace", "version", "approve", "guarded/1", "--reason", "read it")[0] == 0
    code, _, err = run("alan", "release", "start", "guarded/1", "-e", "guarded")
    assert (code, "waits for approvals by 1 more operator for guarded" in err) == (1, True)
    code, out, _ = run("alan", "version", "approve", "guarded/1")
    assert (code, "grace@example.com, alan@example.com" in out) == (0, True)
    assert headgate("access", "revoke", "grace-approver")[0] == 0
    code, _, err = run("alan", "release", "start", "guarded/1", "-e", "guarded")
    assert (code, "waits for approvals by 1 more approver for guarded" in err) == (1, True)
    assert headgate("version", "approve", "guarded/1")[0] == 0
    code, out, err = run("alan", "release", "start", "guarded/1", "-e", "guarded")
    assert (code, err.count("waits")) == (0, 0)
    _, out, _ = headgate("model", "history", "guarded", "-o", "json")
    held = [each["fact"]["approval_granted"]["held"] for each in json.loads(out) if "approval_granted" in each["fact"]]
    assert [role["role"] for role in held[1]] == ["ROLE_APPROVER", "ROLE_OPERATOR"]


def test_a_record_of_a_topic_has_the_name_and_the_rights_of_nobody_whatever_it_says(
    headgate: Headgate, settings: Settings
):
    event = {"specversion": "1.0", "id": "handed-in", "source": ROOT, "type": CHANGE, "data": data(7, model="handed")}
    forged = commands.Command(command_id="forged", stream="models/handed", actor=ROOT, proven_by="jwt")
    forged.waive_gate.CopyFrom(commands.WaiveGate(version=1, reason="trust me"))
    with closing(open_log(settings.log)) as log:

        def refusals() -> list[commands.Refusal]:
            found = [commands.Refusal.FromString(each.value or b"") for each in read_all(log, topics.REFUSALS)]
            return [each for each in found if each.command_id == "forged"]

        kind = (("content-type", b"application/cloudevents+json"),)
        log.append(LogMessage(topics.INBOX, b"key", json.dumps(event).encode(), kind))
        until(lambda: headgate("version", "get", "handed/1")[0] == 0, "the version of the event")
        log.append(LogMessage(topics.COMMANDS, b"models/handed", forged.SerializeToString()))
        until(lambda: refusals(), "the refusal")
        (refusal,) = refusals()
    record = json.loads(headgate("model", "history", "handed", "-o", "json")[1])[0]["fact"]
    assert (record["actor"], record["proven_by"]) == (f"topic:headgate.inbox/{ROOT}", "topic")
    assert "what a person decides comes by gRPC alone" in refusal.rule
    assert (refusal.actor, refusal.proven_by) == (f"topic:headgate.commands/{ROOT}", "topic")


def reports(name: str) -> list[Message]:
    """What workers say of a version until its gate has passed."""
    tested, evaluated = code_tested(), facts.EvaluationFinished(version=1, attempt=1, report=report(0.95))
    tested.configuration.model = name
    return [
        commands.StartTesting(version=1, attempt=1, worker="trainer-0", lease_ms=60_000),
        commands.ReportCodeTested(fact=tested),
        commands.ReportTrainingStarted(fact=training()),
        commands.ReportTrainingFinished(fact=trained()),
        commands.StartEvaluation(version=1, attempt=1, worker="evaluator-0", lease_ms=60_000),
        commands.ReportEvaluationFinished(fact=evaluated),
        commands.DecideGate(version=1),
    ]


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
