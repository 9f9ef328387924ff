"""headgate version logs, from a real trainer beside a real registry."""

import threading
from functools import partial
from pathlib import Path

import pytest

from headgate.cli.version_logs import _print_lines
from headgate.v1 import resources_pb2 as resources
from tests.cli.running import Headgate, run_headgate
from tests.trainer.repositories import repository
from tests.trainer.test_app import Site, site
from tests.waiting import until

__all__ = ["site"]

PRINTS = """
import os, sys, time
print("one \\x1b[31mred\\x07", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.05)
print("two https://reader:secret@git.example.com/x")
sys.exit(1)
"""


@pytest.fixture
def headgate(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    """Runs `headgate ARGUMENTS` on the site, whose trainer it starts."""
    monkeypatch.chdir(tmp_path)
    _, trainer = site.start_trainer()
    where = ("--registry", f"127.0.0.1:{site.registry_port}", "--trainer", trainer)
    return partial(run_headgate, monkeypatch, capsys, *where)


def test_the_output_of_the_tests_is_shown_while_they_run_and_afterwards(
    site: Site, headgate: Headgate, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    may_end = tmp_path / "out" / "may-end"
    source = repository(tmp_path / "tiny", files={"check.py": PRINTS}, tests=f"python check.py {may_end}")
    code, _, err = headgate("version", "logs", "tiny/1")
    assert (code, err) == (3, "headgate: not-found: model tiny does not exist\n")
    site.create(source)
    red = "one \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}\n"
    site.until(lambda version: version.build == resources.BUILD_STATE_TESTING)
    while "one" not in (so_far := headgate("version", "logs", "tiny/1")[1]):
        threading.Event().wait(0.05)
    assert so_far == f"--- attempt 1: tests\n{red}"
    threading.Timer(0.3, may_end.touch).start()
    whole = f"--- attempt 1: tests\n{red}two https://***@git.example.com/x\n"
    assert headgate("version", "logs", "tiny/1", "--follow")[:2] == (0, whole)
    site.until(lambda version: version.build == resources.BUILD_STATE_TESTS_FAILED)
    # The trainer reads the log of lifecycle facts in its own time, so its answer may come a moment later.
    until(lambda: headgate("version", "logs", "tiny/1")[:2] == (0, whole), "the whole log is shown afterwards")


def test_lines_in_parts_are_printed_whole_and_a_progress_bar_is_one_line_for_each_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = ""
    for part in ("a", "b\nc\td\r", "10 %\r20 %", "\n\x1b]0;title\x07"):
        left = _print_lines(left, part, ends=False)
    assert _print_lines(left, "", ends=True) == ""
    mark = "\N{REPLACEMENT CHARACTER}"
    assert capsys.readouterr().out == f"ab\nc       d\n10 %\n20 %\n{mark}]0;title{mark}\n"
