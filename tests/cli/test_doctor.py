"""`headgate doctor` with a deployment that does not belong to the `headgate up` of this folder."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headgate.access.secret import new_secret
from headgate.certificates.authority import LIFETIME
from headgate.cli import doctor_access
from headgate.cli.exit_codes import Exit
from headgate.cli.main import app
from headgate.cli.own_certificates import OwnCertificates
from headgate.cli.session import HOME, CommandFailed
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.runtime.clock import now_ms, utc_now
from headgate.telemetry.clock_watch import CLOCK_KEY
from headgate.v1 import telemetry_pb2 as telemetry
from services.registry.app import build
from services.registry.settings import Settings
from tests.gateway import networks
from tests.gateway.harness import canary, running_gateway, until


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Result]]:
    """Checks a healthy registry and its log from a folder where `headgate up` never ran."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    log = f"sqlite://{tmp_path}/log.db"
    registry = build(Settings(log=log, port=0))
    address = f"127.0.0.1:{registry.start()}"

    def run(gateway: str = address) -> Result:  # any healthy service can stand in for the gateway
        command = ["--registry", address, "--gateway", gateway, "doctor"]
        return CliRunner().invoke(app, command, env={"HEADGATE_LOG": log})

    yield run
    registry.stop(2)


def test_a_healthy_deployment_is_reported_as_ok_from_any_folder(doctor: Callable[[], Result]) -> None:
    found = doctor()
    assert (found.exit_code, "WRONG" in found.stdout) == (0, False), found.stdout


def test_a_service_whose_host_has_a_wrong_clock_is_named(doctor: Callable[[], Result], tmp_path: Path) -> None:
    assert "ok     clocks: services that agree with the log's time: 1" in doctor().stdout
    log = open_log(f"sqlite://{tmp_path}/log.db")
    asked = telemetry.TelemetryRecord(source="trainer-7", boot_id="boot", sequence=1, at_ms=now_ms() + 86_400_000)
    asked.clock_probe.SetInParent()
    log.append(Message(topics.TELEMETRY, CLOCK_KEY.encode(), asked.SerializeToString()))
    log.close()
    found = doctor()
    assert found.exit_code == 1
    assert "WRONG  clocks: the clock of the host of trainer-7 is 86400.0 s ahead of the log's time" in found.stdout


def test_a_version_that_the_gateway_cannot_serve_is_named_with_the_cause(doctor: Callable[..., Result]) -> None:
    with running_gateway({("fraud", 1): networks.affine()}) as gateway:
        gateway.serve(live=1)
        gateway.server.set_ready()
        assert "ok     versions: the gateway serves 1 version" in doctor(gateway.address).stdout
        gateway.fold.set("fraud", 1, canary(0, epoch=1, candidate=9))
        until(lambda: gateway.follower.table.entries["fraud"].failures)
        found = doctor(gateway.address)
    assert found.exit_code == 1
    assert "WRONG  fraud/9: failed to load: KeyError" in found.stdout


def test_in_a_folder_of_headgate_up_missing_artifacts_and_keys_are_reported(doctor: Callable[[], Result]) -> None:
    Path(HOME).mkdir()
    found = doctor()
    assert found.exit_code == 1
    assert "WRONG  artifacts" in found.stdout
    assert "WRONG  keys" in found.stdout


@pytest.mark.parametrize("url", ["foo://x", "nonsense", "s3:/x"])
def test_a_url_that_can_name_no_artifact_store_is_wrong_input(url: str) -> None:
    failed = CliRunner().invoke(app, ["doctor", "--artifacts", url]).exception
    assert isinstance(failed, CommandFailed)
    assert failed.code is Exit.USAGE
    assert str(failed).startswith(f"--artifacts {url!r}: expected file:///directory")


def test_an_artifact_store_whose_folder_is_missing_is_reported(doctor: Callable[[], Result]) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADGATE_ARTIFACTS", "file:///no/such/directory")
        found = doctor()
    assert found.exit_code == 1
    assert "artifact store: file:///no/such/directory: the folder /no/such/directory does not exist" in found.stdout
    assert not Path("/no").exists()


def test_a_certificate_that_callers_refuse_is_reported(
    doctor: Callable[[], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnCertificates(Path(HOME).absolute())
    Path(HOME).mkdir()
    own.refresh()
    assert "ok     certificates: " in doctor().stdout
    later = utc_now() + LIFETIME + timedelta(days=1)
    monkeypatch.setattr(doctor_access, "utc_now", lambda: later)
    assert "WRONG  certificate of registry: it has ended" in doctor().stdout


def test_whether_callers_are_asked_and_known_is_reported(doctor: Callable[..., Result], tmp_path: Path) -> None:
    assert "ok     access: the registry asks nobody who calls" in doctor().stdout
    first = tmp_path / "token"
    first.write_text(new_secret(secrets.token_bytes))
    asking = build(
        Settings(log=f"sqlite://{tmp_path}/asks.db", port=0, authentication=True, authentication_first_token=first)
    )
    address = f"127.0.0.1:{asking.start()}"
    asked = ("--registry", address, "--gateway", address)

    def found(*options: str) -> str:
        environ = {"HEADGATE_LOG": f"sqlite://{tmp_path}/asks.db"}
        return CliRunner().invoke(app, [*asked, *options, "doctor"], env=environ).stdout

    assert "WRONG  access: the token is missing" in found()
    assert "ok     access: the registry knows this caller" in found("--token-file", str(first))
    asking.stop(2)
