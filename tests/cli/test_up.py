"""`headgate up` as a process: it locks its folder, and its services end with it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.driver import Running, environ, headgate
from headgate.access.subject import SERVICES
from headgate.artifacts.store import open_store
from headgate.cli.own_token import OwnToken
from headgate.cli.session import default_log
from headgate.cli.up import Layout
from tests.cli.running import run_headgate
from tests.metrics.exposed import get
from tests.tls import Authority
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(300)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def curl(folder: Path, command: str) -> int:
    """The status of the answer."""
    words = [*command.split(), "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.parametrize(("set_by_the_user", "expected"), [(None, "true"), ("", "true"), ("false", "false")])
def test_the_registry_pins_itself_to_one_core_unless_the_user_sets_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_by_the_user: str | None, expected: str
) -> None:
    monkeypatch.delenv("HEADGATE_ONE_CORE", raising=False)
    if set_by_the_user is not None:
        monkeypatch.setenv("HEADGATE_ONE_CORE", set_by_the_user)
    layout = Layout(tmp_path, "sqlite:///log.db", dict.fromkeys(SERVICES, 0), dict.fromkeys(SERVICES, 0))
    chosen = {service: layout.environ(service).get("HEADGATE_ONE_CORE") for service in SERVICES}
    assert chosen == {**dict.fromkeys(SERVICES), "registry": expected}


@pytest.mark.parametrize("name", ["HEADGATE_TLS_CERTIFICATE", "HEADGATE_TLS_CA", "HEADGATE_TLS_CLIENT_CA"])
def test_a_part_of_ones_own_certificates_beside_those_of_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, str(Authority.new(tmp_path, "authority").file))
    code, _, err = run_headgate(monkeypatch, capsys, "up", "--base-port", "0")
    assert (code, f"leave out {name}, and up makes" in err, "set both" in err) == (2, True, True), err
    assert not (tmp_path / ".headgate").exists()


@pytest.mark.parametrize(("name", "value"), [("HEADGATE_TLS_KEY", "tls.pem"), ("HEADGATE_AUTHENTICATION", "true")])
def test_settings_of_what_an_insecure_start_does_without_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    code, _, err = run_headgate(monkeypatch, capsys, "up", "--insecure", "--base-port", "0")
    assert (code, f"leave out {name}, or --insecure" in err) == (2, True), err
    assert not (tmp_path / ".headgate").exists()


@pytest.mark.parametrize(("set_by_the_user", "expected"), [(None, "true"), ("", "true"), ("false", "false")])
def test_services_ask_for_tokens_unless_the_user_sets_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_by_the_user: str | None, expected: str
) -> None:
    monkeypatch.delenv("HEADGATE_AUTHENTICATION", raising=False)
    if set_by_the_user is not None:
        monkeypatch.setenv("HEADGATE_AUTHENTICATION", set_by_the_user)
    (tmp_path / "token").write_text("hgt_" + "s" * 43)
    layout = Layout(tmp_path, "", dict.fromkeys(SERVICES, 0), dict.fromkeys(SERVICES, 0), token=OwnToken(tmp_path))
    assert {layout.environ(service)["HEADGATE_AUTHENTICATION"] for service in SERVICES} == {expected}


def test_the_artifacts_are_below_the_home_whatever_characters_its_path_has(tmp_path: Path) -> None:
    home = tmp_path / "50% of #1, or %20?"
    layout = Layout(home, default_log(home), dict.fromkeys(SERVICES, 0), dict.fromkeys(SERVICES, 0))
    open_store(layout.environ("trainer")["HEADGATE_ARTIFACTS"]).put(b"weights")
    assert [path.name for path in home.iterdir()] == ["artifacts"]


def test_up_restarts_a_killed_service_locks_its_folder_and_ends_its_services_when_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1, or %20?"
    folder.mkdir()
    running = Running(folder)
    running.start()
    try:
        tls = running.tls()
        assert tls is not None
        context = tls.context()
        rest = f"https://127.0.0.1:{running.rest_port()}"
        assert curl(folder, f"curl --cacert .headgate/keys/certificates/authority.pem {rest}/v2/health/ready") == 200
        assert curl(folder, f"curl -K .headgate/keys/curl {rest}/v2") == 200
        assert curl(folder, f"curl --cacert .headgate/keys/certificates/authority.pem {rest}/v2") == 401
        granted = json.loads(running.command("access", "grant", "ada", "viewer", "-o", "json"))
        assert granted["granted_by"] == "token:administrator"
        link = running.command("console").strip()
        assert curl(folder, f"curl --cacert .headgate/keys/certificates/authority.pem {link}") == 303
        console = link.partition("/sign-in")[0]
        assert curl(folder, f"curl -K .headgate/keys/curl {console}/v1/models") == 200
        assert curl(folder, f"curl --cacert .headgate/keys/certificates/authority.pem {link}") == 401
        pid = json.loads((folder / ".headgate" / "up.json").read_text())["pid"]
        services = children(pid)
        assert len(services) == 6
        for service, port in running.metrics_ports().items():
            assert get(port, "/readyz", context) == (200, "ready\n")
            assert f'service="{service}"' in get(port, "/metrics", context)[1]

        command = [*headgate(), "up", "--base-port", "0"]
        second = subprocess.run(
            command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert second.returncode == 1
        assert f"already runs there (process {pid})" in second.stderr

        os.kill(services[0], signal.SIGKILL)
        assert eventually(lambda: len(children(pid)) == 6 and services[0] not in children(pid))
        printed = folder / ".headgate" / "up.log"
        assert eventually(lambda: printed.read_text().count("all services are ready") == 2)
        assert f"curl -K '{folder}/.headgate/keys/curl' {rest}/v2\n" in printed.read_text()
        assert printed.read_text().count("the console, by a link that signs in once: https://127.0.0.1:") == 2
        assert "holds no longer" not in printed.read_text()
        assert printed.read_text().count("ready registry") == 2
        assert printed.read_text().count("ready trainer") == 1

        services = children(pid)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: all(is_gone(service) for service in services))
    finally:
        running.stop()
