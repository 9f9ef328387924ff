"""Whatever a command prints is fit for a terminal, and programs still read the very same text."""

import io
import json
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.text import Text

from headgate.cli import printing
from headgate.cli.printing import PrintableConsole, report, show, show_json, show_yaml
from headgate.domain.credentials import without_credentials

HOSTILE = "merged\x1b[2J\x1b[31m \x1b]0;owned\x07 \x9b2J \N{RIGHT-TO-LEFT OVERRIDE}by"
SECRET = "from https://reader:t0ken@git.example.com/fraud"
PRINTERS: list[Callable[[str], None]] = [
    report,
    show,
    lambda text: show_json({"message": [text]}),
    lambda text: show_yaml({"message": [text]}),
    printing.console.print,
    lambda text: printing.console.print(Text(text)),
]


def unprintable(text: str) -> list[str]:
    return [char for char in text if not char.isprintable() and char != "\n"]


@pytest.mark.parametrize("printer", PRINTERS)
def test_no_printer_lets_a_control_character_through(
    printer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    printer(HOSTILE)
    shown = capsys.readouterr()
    assert "owned" in shown.out + shown.err
    assert unprintable(shown.out + shown.err) == []


@pytest.mark.parametrize("printer", PRINTERS[:5])
def test_no_printer_shows_a_password(printer: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    printer(f"{SECRET}\n{SECRET}")
    shown = capsys.readouterr()
    assert "git.example.com" in shown.out + shown.err
    assert "t0ken" not in shown.out + shown.err


def test_a_block_that_is_renewed_sends_only_the_control_characters_of_rich() -> None:
    shown = io.StringIO()
    terminal = PrintableConsole(file=shown, force_terminal=True, width=60)
    with Live(console=terminal, transient=True, auto_refresh=False) as live:
        live.console.print(HOSTILE)
        live.update(Text(HOSTILE), refresh=True)
    assert "owned" in shown.getvalue()
    assert not any(mark in shown.getvalue() for mark in ("\x1b[2J", "\x1b[31m", "\x1b]0;", "\x07", "\x9b"))


@given(st.text().filter(lambda text: without_credentials(text) == text))
def test_programs_read_the_very_same_text(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for printer, read in ((show_json, json.loads), (show_yaml, yaml.safe_load)):
            patch.setattr("sys.stdout", out := io.StringIO())
            printer({"message": text})
            assert read(out.getvalue()) == {"message": text}
            assert unprintable(out.getvalue()) == []


def test_a_text_of_several_lines_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    show("one\n\ttwo\n")
    assert capsys.readouterr().out == "one\n        two\n\n"
