"""The supervisor of `headgate up`: it starts, restarts and stops processes."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.cli.session import CommandFailed
from headgate.cli.supervisor import FatalExit, Program, Supervisor
from headgate.cli.up import _lock_folder
from tests.waiting import PATIENCE_SECONDS

SLEEPS = "import time; time.sleep(60)"


def program(folder: Path, code: str) -> Program:
    return Program("child", (sys.executable, "-c", code), {}, folder / "child.log")


def poll_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        supervisor.poll()


def test_a_child_that_crashes_restarts_after_a_longer_wait_each_time(tmp_path: Path) -> None:
    reports: list[str] = []
    now = [0.0]
    supervisor = Supervisor([program(tmp_path, "raise SystemExit(3)")], reports.append, lambda: now[0])
    for count in (1, 2, 3):
        poll_until(supervisor, lambda count=count: len(reports) == count)
        now[0] += 100 if count == 3 else 2**count
    supervisor.stop()
    assert [line.split(";")[1].split("(")[0].strip() for line in reports] == [
        "it restarts in 0.5 s",
        "it restarts in 1 s",
        "it restarts in 2 s",
    ]


def test_a_child_that_refuses_its_settings_ends_headgate_up(tmp_path: Path) -> None:
    supervisor = Supervisor([program(tmp_path, "raise SystemExit(78)")], lambda line: None)
    with pytest.raises(FatalExit, match="child refuses its settings"):
        poll_until(supervisor, lambda: False)
    supervisor.stop()


def test_the_error_quotes_what_the_failed_child_wrote_and_not_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    code = """
import json
print(json.dumps({"level": "info", "message": "beginning"}))
print("no JSON")
print("[" * 5_000)
print(json.dumps({"level": "error", "message": "HEADGATE_PORT is wrong"}), flush=True)
raise SystemExit(78)
"""
    child = program(tmp_path, code)
    child.log_file.write_text('{"level": "error", "message": "from yesterday"}\n')
    supervisor = Supervisor([child], lambda line: None)
    with pytest.raises(FatalExit) as ended:
        poll_until(supervisor, lambda: False)
    assert str(ended.value).splitlines()[1:] == ["HEADGATE_PORT is wrong"]
    supervisor.stop()


def test_stop_ends_every_child(tmp_path: Path) -> None:
    supervisor = Supervisor([program(tmp_path, SLEEPS)], lambda line: None)
    poll_until(supervisor, lambda: bool(supervisor.pids()))
    (pid,) = supervisor.pids().values()
    supervisor.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_a_second_up_on_one_folder_is_refused(tmp_path: Path) -> None:
    with _lock_folder(tmp_path), pytest.raises(CommandFailed, match="already runs there"), _lock_folder(tmp_path):
        pass


def test_a_childs_log_file_stays_within_its_limit_while_the_child_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.cli.supervisor.MAX_LOG_BYTES", 10_000)
    written, aside = tmp_path / "child.log", tmp_path / "child.log.1"
    code = f"""
import os, time
print("x" * 14_999, flush=True)
while os.path.getsize({str(written)!r}) > 10_000:
    time.sleep(0.01)
print("after", flush=True)
{SLEEPS}
"""
    supervisor = Supervisor([program(tmp_path, code)], lambda line: None)
    poll_until(supervisor, lambda: aside.exists() and written.read_text() == "after\n")
    assert aside.stat().st_size == 15_000
    supervisor.stop()
