"""Every address that the command line takes is refused when its port does not exist: gRPC takes it modulo 65,536."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headgate.cli import main as command_line
from headgate.cli.main import app
from headgate.client.stubs import Stubs, serves

SERVICES = ("registry", "gateway", "trainer", "evaluator", "deployer")
LIST = ("model", "list")
DOWNLOAD = ("version", "download", "fraud/1", "new")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["headgate", *arguments])
    with pytest.raises(SystemExit) as found:
        command_line.main()
    assert isinstance(found.value.code, int)
    return found.value.code


@pytest.mark.parametrize(
    ("variable", "value", "command", "option"),
    [
        *((f"HEADGATE_{name.upper()}", "127.0.0.1:99999", LIST, f"--{name}") for name in SERVICES),
        *((f"HEADGATE_{name.upper()}", "127.0.0.1:65536", ("doctor",), f"--{name}") for name in SERVICES),
        ("HEADGATE_REGISTRY", "127.0.0.1:0", LIST, "--registry"),
        ("HEADGATE_GATEWAY", "http://127.0.0.1:7404", LIST, "--gateway"),
        ("HEADGATE_LOG", "kafka://one:9092,two:99999", LIST, "--log"),
        ("HEADGATE_LOG", "kafka://one:99999", ("doctor",), "--log"),
        ("HEADGATE_LOG", "kafka://one:99999", ("up",), "--log"),
        ("HEADGATE_REDIS", "redis://one:99999/0", ("doctor",), "--redis"),
        ("HEADGATE_REDIS", "redis://one:99999/0", ("view", "status"), "--redis"),
        ("HEADGATE_REDIS", "redis://one:0", ("view", "rebuild"), "--redis"),
        ("HEADGATE_ARTIFACTS", "https://one:99999/bucket", ("doctor",), "--artifacts"),
        ("HEADGATE_ARTIFACTS", "https://one:99999/bucket", DOWNLOAD, "--artifacts"),
    ],
)
def test_an_address_whose_port_does_not_exist_ends_the_command_with_the_name_of_its_option(
    variable: str,
    value: str,
    command: tuple[str, ...],
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    assert ended(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"headgate: {option}")
    assert "from 1 to 65535" in error


@pytest.mark.parametrize("port", ["-1", "65001", "99999"])
def test_a_base_port_without_room_for_the_ports_of_all_services_is_refused(port: str) -> None:
    found = CliRunner().invoke(app, ["up", "--base-port", port])
    assert (found.exit_code, "base-port" in found.output) == (2, True)


def test_a_program_that_asks_an_address_without_a_real_port_gets_an_error() -> None:
    with pytest.raises(ValueError, match="expected host:port with a port from 1 to 65535"):
        serves("127.0.0.1:99999")
    with Stubs("127.0.0.1:99999", "127.0.0.1:1") as stubs, pytest.raises(ValueError, match="expected host:port"):
        _ = stubs.registry
