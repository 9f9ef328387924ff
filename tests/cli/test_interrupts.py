"""Ctrl-C ends a command with 130 and without a traceback, at whatever stage it comes."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import atexit, signal, sys
sys.argv[1:] = ["version", "get", "no version"]
def interrupt(*_):
    signal.raise_signal(signal.SIGINT)
def while_the_error_is_printed(act):
    from headgate.cli import printing
    printing.progress.print = act
"""
STAGES = {
    "the imports": """
class Finder:
    def find_spec(self, name, *_):
        if name == "headgate.cli.main":
            interrupt()
sys.meta_path.insert(0, Finder())
""",
    "an error that is printed": "while_the_error_is_printed(interrupt)",
    "the end after another one": """
def twice(_):
    try:
        interrupt()
    finally:
        interrupt()
while_the_error_is_printed(twice)
""",
    "a destructor": """
class Dropped:
    def __del__(self):
        interrupt()
while_the_error_is_printed(lambda _: Dropped())
""",
    "the exit": "atexit.register(interrupt)",
}
END = """
from headgate.cli.entry import main
main()
"""


@pytest.fixture(scope="module")
def ended() -> dict[str, tuple[int, str]]:
    """The exit code and the errors of a command that was interrupted at each stage. All run at once."""
    running = {
        stage: subprocess.Popen([sys.executable, "-c", BEGIN + act + END], stderr=subprocess.PIPE, text=True)
        for stage, act in STAGES.items()
    }
    return {stage: (process.communicate()[1], process.returncode)[::-1] for stage, process in running.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_ends_with_130_and_says_nothing_of_itself(ended: dict[str, tuple[int, str]], stage: str) -> None:
    code, errors = ended[stage]
    assert code == 130
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_a_program_that_a_command_starts_ends_so_during_its_imports(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import signal; signal.raise_signal(signal.SIGINT); print('it went on')")
    command = [sys.executable, "-m", "headgate.cli.program", "slow"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")
