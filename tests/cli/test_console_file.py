"""`headgate console --log` becomes the console of an exported log, or says what it cannot show."""

import os

import pytest

from headgate.cli.exit_codes import Exit
from headgate.runtime.settings import from_env
from services.portal.exported.app import PREFIX, Settings
from tests.cli.running import run_headgate


class BecameConsole(SystemExit):
    """Takes the place of the new process."""


@pytest.fixture
def console(tmp_path, monkeypatch, capsys):
    """Runs the command. Returns its exit code, its errors and the settings of the console."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.jsonl").write_text("")
    became = []

    def become(program, command, environ):
        assert command[1:] == ["-m", "headgate.cli.program", "services.portal.exported"]
        became.append(from_env(Settings, environ, PREFIX))
        raise BecameConsole(0)

    monkeypatch.setattr(os, "execve", become)

    def run(*words):
        code, _, errors = run_headgate(monkeypatch, capsys, "console", *words)
        return code, errors, became[-1] if became else None

    return run


def test_the_file_and_the_port_are_the_settings_of_the_console(console, tmp_path):
    code, _, settings = console("--log", "facts.jsonl", "--port", "7409")
    assert (code, settings.log, settings.port) == (Exit.OK, f"file:{tmp_path}/facts.jsonl", 7409)
    assert console("--log", "facts.jsonl")[2].port == 0


def test_what_cannot_be_shown_is_refused_with_the_option(console):
    code, errors, became = console("--log", "nothing.jsonl")
    assert (code, became) == (Exit.NOT_FOUND, None)
    assert "--log nothing.jsonl: there is no such file" in errors
    assert "--portal" in console("--log", "facts.jsonl", "--portal", "127.0.0.1:7408")[1]
    assert "--port" in console("--port", "7409")[1]
