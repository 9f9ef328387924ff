"""headgate version logs, from a real trainer beside a real registry."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.version_logs import _print_lines, why_nothing
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.cli.running import Headgate, run_headgate
from tests.trainer.beside import let_end
from tests.trainer.repositories import repository
from tests.trainer.test_app import Site, site
from tests.waiting import until

__all__ = ["site"]

TWO_LOGS = [facts.StageLog(attempt=1, stage=stage) for stage in (facts.STAGE_TESTS, facts.STAGE_TRAINING)]
PRINTS = """
import os, sys, time
print("one \\x1b[31mred\\x07", flush=True)
open("began", "w")
while not os.path.exists("may-end"): time.sleep(0.05)
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
    source = repository(tmp_path / "tiny", files={"check.py": PRINTS}, tests="python check.py")
    code, _, err = headgate("version", "logs", "tiny/1")
    assert (code, err) == (3, "headgate: not-found: model tiny does not exist\n")
    site.create(source)
    red = "one \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}\n"
    site.until(lambda version: version.build == resources.BUILD_STATE_TESTING)
    while "one" not in (so_far := headgate("version", "logs", "tiny/1")[1]):
        threading.Event().wait(0.05)
    assert so_far == f"--- attempt 1: tests\n{red}"
    threading.Timer(0.3, let_end, [tmp_path]).start()
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


@pytest.mark.parametrize(
    ("build", "fields", "expected"),
    [
        ("CANCELLED", {}, "version 3 of fraud was cancelled before a trainer began with it"),
        (
            "CANCELLED",
            {"attempt": 1},
            "attempt 1 at version 3 of fraud ended without a report, and its trainer kept what it printed only until it"
            " started again",
        ),
        ("CHECKOUT_FAILED", {"attempt": 1}, "version 3 of fraud failed before its tests and printed nothing"),
        ("EVALUATED", {"attempt": 1, "logs": TWO_LOGS}, "version 3 of fraud printed nothing in its tests and training"),
        ("EVALUATED", {"attempt": 1, "upload": facts.Upload()}, "version 3 of fraud was imported, so it has no tests"),
        ("EVALUATED", {"attempt": 1}, "attempt 1 at version 3 of fraud ran under a version of Headgate that kept no"),
    ],
)
def test_a_version_without_a_log_says_the_one_cause(build: str, fields: dict[str, Any], expected: str) -> None:
    state = resources.BuildState.Value(f"BUILD_STATE_{build}")
    version = resources.Version(name="models/fraud/versions/3", build=state, **fields)
    assert why_nothing(version, knows_attempt=False).startswith(expected)


def test_a_trainer_that_ran_a_cancelled_attempt_knows_that_it_printed_nothing() -> None:
    version = resources.Version(name="models/fraud/versions/3", build=resources.BUILD_STATE_CANCELLED, attempt=1)
    expected = "attempt 1 at version 3 of fraud was cancelled before its tests printed anything"
    assert why_nothing(version, knows_attempt=True) == expected
