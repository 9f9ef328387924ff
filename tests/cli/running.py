"""Runs the command line in this process, as a shell would."""

from collections.abc import Callable

import pytest

from headgate.cli import main as command_line

Printed = tuple[int, str, str]
"""The exit code, the data (stdout) and the progress (stderr)."""
Headgate = Callable[..., Printed]


def run_headgate(monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], *arguments: str) -> Printed:
    """Runs `headgate ARGUMENTS` to its end. `capture` is capsys, or capfd where a child process prints too."""
    monkeypatch.setattr("sys.argv", ["headgate", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    printed = capture.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err
