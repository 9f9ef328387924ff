"""`headgate edge` refuses what no device can run with, and else becomes the device."""

import json
import os
import secrets

import pytest

from headgate.access.secret import new_secret
from headgate.artifacts.keys import create_keys
from headgate.cli.exit_codes import Exit
from headgate.runtime.settings import from_env
from services.gateway.edge.settings import PREFIX, Settings, addresses_of, models_of
from tests.cli.running import run_headgate

FROM = ("--from", "a.example.com:7406")


class BecameDevice(SystemExit):
    """Takes the place of the new process."""


@pytest.fixture
def edge(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with keys. Returns its exit code, its errors and the settings of the device."""
    monkeypatch.chdir(tmp_path)
    create_keys(tmp_path / ".headgate" / "keys")
    became = []

    def become(program, command, environ):
        assert command[1:] == ["-m", "headgate.cli.program", "services.gateway.edge"]
        became.append(from_env(Settings, environ, PREFIX))
        raise BecameDevice(0)

    monkeypatch.setattr(os, "execve", become)

    def run(*words):
        code, _, errors = run_headgate(monkeypatch, capsys, "edge", *words)
        return code, errors, became[-1] if became else None

    return run


def test_the_options_are_the_settings_of_the_device(edge, tmp_path):
    places = ("--from", "a.example.com:7406,b.example.com:7406", "--state", "/var/lib/headgate")
    code, _, settings = edge("--device", "till-17", *places, "--models", "fraud,churn", "--disk-mib", "64")
    assert code == Exit.OK
    assert addresses_of(settings.source) == ("a.example.com:7406", "b.example.com:7406")
    assert models_of(settings.models) == ("fraud", "churn")
    assert (settings.device, str(settings.state), settings.disk_mib) == ("till-17", "/var/lib/headgate", 64)
    assert (settings.port, settings.rest_port, settings.environment) == (7450, 7451, "production")


def test_without_an_address_it_follows_the_gateway_of_headgate_up_in_this_folder(edge, tmp_path):
    (tmp_path / ".headgate" / "up.json").write_text(json.dumps({"edge_port": 7406}))
    assert edge("--device", "till-17")[2].source == "127.0.0.1:7406"


def test_without_an_address_and_without_headgate_up_it_names_the_option(edge):
    code, errors, became = edge("--device", "till-17")
    assert (code, became) == (Exit.UNAVAILABLE, None)
    assert "name a gateway's server for devices with --from host:port" in errors


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--device", "till 17", *FROM), Exit.USAGE, "--device till 17: "),
        (("--device", "a", "--from", "a.example.com"), Exit.USAGE, "--from a.example.com: expected host:port"),
        (("--device", "a", "--from", "a:1,,b:2"), Exit.USAGE, "--from a:1,,b:2: expected host:port"),
        (("--device", "a", *FROM, "--environment", "Prod"), Exit.USAGE, "--environment Prod: "),
        (("--device", "a", *FROM, "--models", "fraud,A"), Exit.USAGE, "--models A: "),
        (("--device", "a", *FROM, "--keys", "no"), Exit.NOT_FOUND, "--keys no: there is no trusted key in no/trusted"),
    ],
)
def test_what_no_device_can_run_with_is_refused_with_the_option(edge, words, code, error):
    ended, errors, became = edge(*words)
    assert (ended, became) == (code, None)
    assert error in errors


def test_the_gateway_of_this_folder_gets_its_token_and_another_one_only_what_is_named(edge, tmp_path):
    home = tmp_path / ".headgate"
    (home / "up.json").write_text(json.dumps({"edge_port": 7406, "tls": {"ca": "ca.pem"}}))
    (home / "token").write_text(new_secret(secrets.token_bytes))
    own = edge("--device", "till-17")[2]
    assert (own.tls_ca, str(own.token_file)) == ("ca.pem", ".headgate/token")
    other = edge("--device", "till-17", *FROM)[2]
    assert (other.tls_ca, other.token_file) == ("", None)


def test_a_token_crosses_no_network_without_tls(edge, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(new_secret(secrets.token_bytes))
    monkeypatch.setenv("HEADGATE_TOKEN_FILE", "token")
    code, errors, became = edge("--device", "till-17", *FROM)
    assert (code, became, "a token goes to another machine only with TLS" in errors) == (Exit.USAGE, None, True)
    assert str(edge("--device", "till-17", "--from", "127.0.0.1:7406")[2].token_file) == "token"
