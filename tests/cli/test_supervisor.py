"""Keeping the processes of `headgate up` alive."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.cli.session import CommandFailed
from headgate.cli.supervisor import HopelessChild, Program, Supervisor
from headgate.cli.up import _only_one

SLEEPS = "import time; time.sleep(60)"
LIMIT_SECONDS = 20.0


def program(folder: Path, code: str) -> Program:
    return Program("child", (sys.executable, "-c", code), {}, folder / "child.log")


def tend_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        supervisor.tend()


def test_a_crashed_child_starts_again_later_each_time(tmp_path: Path) -> None:
    said: list[str] = []
    now = [0.0]
    supervisor = Supervisor([program(tmp_path, "raise SystemExit(3)")], said.append, lambda: now[0])
    for count in (1, 2, 3):
        tend_until(supervisor, lambda count=count: len(said) == count)
        now[0] += 100 if count == 3 else 2**count
    supervisor.stop()
    assert [line.split(";")[1].split("(")[0].strip() for line in said] == [
        "it starts again in 0.5 s",
        "it starts again in 1 s",
        "it starts again in 2 s",
    ]


def test_a_child_that_refuses_its_settings_ends_the_whole(tmp_path: Path) -> None:
    supervisor = Supervisor([program(tmp_path, "raise SystemExit(78)")], lambda line: None)
    with pytest.raises(HopelessChild, match="child refuses its settings"):
        tend_until(supervisor, lambda: False)
    supervisor.stop()


def test_why_a_child_is_hopeless_is_told_in_its_own_words_and_not_in_those_of_one_before(tmp_path: Path) -> None:
    code = """
import json
print(json.dumps({"level": "info", "message": "beginning"}))
print("no JSON")
print(json.dumps({"level": "error", "message": "HEADGATE_PORT is wrong"}), flush=True)
raise SystemExit(78)
"""
    child = program(tmp_path, code)
    child.log_file.write_text('{"level": "error", "message": "of yesterday"}\n')
    supervisor = Supervisor([child], lambda line: None)
    with pytest.raises(HopelessChild) as ended:
        tend_until(supervisor, lambda: False)
    assert str(ended.value).splitlines()[1:] == ["HEADGATE_PORT is wrong"]
    supervisor.stop()


def test_stop_ends_every_child(tmp_path: Path) -> None:
    supervisor = Supervisor([program(tmp_path, SLEEPS)], lambda line: None)
    tend_until(supervisor, lambda: bool(supervisor.pids()))
    (pid,) = supervisor.pids().values()
    supervisor.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_a_second_up_on_one_folder_is_refused(tmp_path: Path) -> None:
    with _only_one(tmp_path), pytest.raises(CommandFailed, match="already runs there"), _only_one(tmp_path):
        pass


def test_what_a_child_writes_is_kept_within_a_limit_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.cli.supervisor.MAX_LOG_BYTES", 10_000)
    written, aside = tmp_path / "child.log", tmp_path / "child.log.1"
    code = f"""
import os, time
print("x" * 14_999, flush=True)
while os.path.getsize({str(written)!r}) > 10_000:
    time.sleep(0.01)
print("behind", flush=True)
{SLEEPS}
"""
    supervisor = Supervisor([program(tmp_path, code)], lambda line: None)
    tend_until(supervisor, lambda: aside.exists() and written.read_text() == "behind\n")
    assert aside.stat().st_size == 15_000
    supervisor.stop()
