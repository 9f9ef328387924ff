"""Files and folders that a command line names: one rule for what may name one, and one exit code for a missing one."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import typer

from headgate.cli import main as command_line
from headgate.cli.exit_codes import Exit
from headgate.cli.files import MAX_BYTES, local_path, read_file
from headgate.cli.publish import repository_folder
from headgate.cli.session import CommandFailed

NAMING_A_FILE = [
    ["publish", "{}"],
    ["event", "{}"],
    ["predict", "fraud", "--json", "{}"],
    ["environment", "set-policy", "production", "{}"],
]
"""Commands that read the file or the folder at {}."""
NAMING_A_PATH = [*NAMING_A_FILE, ["keys", "create", "{}"]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, command: list[str], path: str) -> int:
    words = [word.format(path) for word in command]
    monkeypatch.setattr("sys.argv", ["headgate", "--registry", "127.0.0.1:1", "--gateway", "127.0.0.1:1", *words])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", NAMING_A_FILE, ids=" ".join)
@pytest.mark.parametrize("path", ["nowhere", "file/below"])
def test_a_file_or_a_folder_that_does_not_exist_gives_exit_code_3(
    command: list[str], path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert run(monkeypatch, command, path) == 3
    assert path in capsys.readouterr().err


@pytest.mark.parametrize("command", NAMING_A_FILE[1:], ids=" ".join)
def test_a_folder_in_place_of_a_file_is_wrong_input(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkdir("folder")
    assert run(monkeypatch, command, "folder") == 2
    assert "folder cannot be read: Is a directory" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert run(monkeypatch, ["keys", "create", "{}"], "file") == 1
    assert capsys.readouterr().err == "headgate: file/trusted: Not a directory\n"


@pytest.mark.parametrize("command", NAMING_A_FILE[1:], ids=" ".join)
def test_a_file_with_wrong_content_gives_exit_code_2(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("wrong").write_text("{wrong")
    assert run(monkeypatch, command, "wrong") == 2


@pytest.mark.parametrize("command", NAMING_A_PATH, ids=" ".join)
@pytest.mark.parametrize("scheme", ["https://reader:t0ken@", "http://t0ken@", "reader:t0ken@"])
def test_a_url_in_place_of_a_path_is_refused_and_its_password_is_not_shown(
    command: list[str], scheme: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, command, f"{scheme}git.example.com/fraud.git") == 2
    printed = "".join(capsys.readouterr())
    assert "this is a URL; expected a fil" in printed or "this is a URL; expected a folder: clone" in printed
    assert "t0ken" not in printed


def callbacks(app: typer.Typer) -> Iterator[Callable[..., Any]]:
    yield from (command.callback for command in app.registered_commands if command.callback is not None)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from callbacks(group.typer_instance)


def parsers(callback: Callable[..., Any]) -> list[object]:
    """The parser of each parameter of a command that is a path; None for one without a parser."""
    hints = get_type_hints(callback, include_extras=True).values()
    annotated = [hint for hint in hints if get_origin(hint) is Annotated and "Path" in str(get_args(hint)[0])]
    return [option.parser for hint in annotated for option in get_args(hint)[1:]]


def test_every_path_on_the_command_line_is_read_by_the_parser_that_refuses_a_url() -> None:
    found = [parser for callback in callbacks(command_line.app) for parser in parsers(callback)]
    assert len(found) >= len(NAMING_A_PATH)
    assert set(found) == {local_path, repository_folder}


def test_a_file_larger_than_the_limit_is_refused_before_it_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("large").write_bytes(b"12345")
    with pytest.raises(CommandFailed, match="large has more than 4 bytes") as refused:
        read_file(Path("large"), 4)
    assert refused.value.code is Exit.USAGE
    assert read_file(Path("large"), 5) == b"12345"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"x" * (MAX_BYTES + 1))))
    with pytest.raises(CommandFailed, match="- has more than"):
        read_file(Path("-"))


def test_a_default_path_is_taken_as_a_given_one_is() -> None:
    assert local_path(Path()) == local_path(".") == Path()
